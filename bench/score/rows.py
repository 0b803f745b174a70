"""What is measured: each row starts its servers in turn and runs a verb of lull against them. The rows that say most
come first."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    verb: str               # of `lull bench`
    model: str              # of bench/peers/models.py
    arguments: tuple = ()   # of the verb
    quick: tuple = ()       # these instead, to see whether it runs
    setting: dict = dataclasses.field(default_factory=dict)  # of the servers
    engines: tuple = ("Lull",)
    against_server: bool = True
    tokenizer: bool = True  # the verb counts prompts by the model's vocabulary
    budget_flags: tuple = ()  # of the verb, for Lull and, under a quota, for the others too
    minutes: tuple = (10,)  # about, of each engine

    def command(self, quick):
        return self.quick if quick else self.arguments


LLAMA = ("llama-server, 1 thread", "llama-server, 2 threads")
ENDPOINT_QUICK = ("--seconds", "5", "--requests", "5", "--idle-seconds", "2", "--distinct", "50")
CPU = ("--cpu", "35%", "--cpu-p99", "50%")
# A large translation unit, as it comes: run where the sources are.
COMPILE = "g++ -std=c++20 -O2 -Iinclude -Isrc -c src/bench/http_client.cc -o /dev/null"

# Settings of a server: "lull": its flags; "quota": share of the machine that llama-server gets; "slots", "context": its
# sequences at once and tokens of each; "cold": no prompt is to be answered from a cache.
ROWS = (
    Row("endpoint", "budget", "smollm2", ("--distinct", "4000"), ENDPOINT_QUICK,
        {"lull": list(CPU), "quota": 0.35, "cold": True}, ("Lull", *LLAMA), budget_flags=CPU, minutes=(5, 7, 12)),
    Row("LFM2-8B-A1B shape", "budget", "lfm2-8b-a1b-shape",
        ("--prompt-tokens", "60", "--max-tokens", "32", "--requests", "50", "--timeout", "600"),
        ("--prompt-tokens", "60", "--max-tokens", "32", "--seconds", "5", "--requests", "2", "--idle-seconds", "1",
         "--distinct", "10", "--timeout", "600"),
        {"lull": list(CPU), "quota": 0.35, "context": 512, "cold": True}, ("Lull", *LLAMA), budget_flags=CPU,
        minutes=(5, 7, 9)),
    Row("clients", "stress", "smollm2", ("--workers", "1,10,50,100"),
        ("--workers", "1,4", "--completions", "6", "--checks", "2"), {"slots": 16, "context": 1024, "cold": True},
        ("Lull", LLAMA[1]), minutes=(2, 5)),
    Row("256 and 1,000 clients", "stress", "smollm2", ("--workers", "256,1000"),
        ("--workers", "256,1000", "--completions", "6", "--checks", "2"), {}, minutes=(2,)),
    Row("8 sessions", "sessions", "smollm2", (), ("--rounds", "1", "--max-tokens", "8"), {"slots": 8, "context": 512},
        ("Lull", LLAMA[1]), minutes=(2, 3)),
    Row("budget 35 to 10 %", "change", "smollm2", (), ("--changes", "1"), {"lull": list(CPU), "admin": True},
        tokenizer=False, minutes=(2,)),
    Row("system prompt again", "reuse", "smollm2", (), ("--rounds", "2"), {"context": 2048}, ("Lull", LLAMA[1]),
        minutes=(1, 1)),
    Row("governor without a cap", "overhead", "smollm2", (), ("--rounds", "2", "--prompt-tokens", "32", "--new-tokens", "8"),
        against_server=False, tokenizer=False, minutes=(2,)),
    Row("schema masks", "masks", "smollm2", against_server=False, tokenizer=False, minutes=(1,)),
    Row("schema texts", "texts", "smollm2", against_server=False, tokenizer=False, minutes=(2,)),
    Row("neighbour, 7B shape", "foreground", "7b-shape-q4_k_m",
        ("--pairs", "10", "--seconds", "1.5", "--settle", "6", "--max-tokens", "512", "--job", COMPILE),
        ("--pairs", "1", "--seconds", "0.2", "--buffer-mib", "64", "--job", COMPILE),
        {"lull": ["--cpu", "35%", "--mem-bw", "8GB/s"], "quota": 0.35}, ("Lull", LLAMA[0]), tokenizer=False,
        minutes=(7, 7)),
    Row("endpoint, no cap", "budget", "smollm2", ("--distinct", "8000", "--idle-seconds", "5"), ENDPOINT_QUICK,
        {"cold": True}, ("Lull", *LLAMA), minutes=(3, 4, 3)),
)
