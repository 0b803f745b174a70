#include "cli/status_text.h"

#include <algorithm>

namespace lull {
namespace {

constexpr size_t kNameColumns = 10;
constexpr size_t kBarColumns = 24;
constexpr size_t kMostRequests = 5;

std::string Count(double value) { return NumberText("%.0f", value); }

bool IsNumberAt(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  return json.contains(at) && json.at(at).is_number();
}

const Json& ListAt(const Json& json, const char* name) {
  static const Json kEmpty = Json::array();
  const auto it = json.find(name);
  return it != json.end() && it->is_array() ? *it : kEmpty;
}

// "p50 0.31 s": "-" where it is not known.
std::string SecondsAt(const Json& json, const std::string& pointer) {
  return IsNumberAt(json, pointer.c_str()) ? MsText(1000.0 * NumberAt(json, pointer.c_str())) : "-";
}

class Screen {
 public:
  Screen(const Json& stats, const Painter& paint) : stats_(stats), paint_(paint) {}

  void Head(const std::string& where) {
    std::string models;
    for (const Json& model : ListAt(stats_, "models"))
      models += (models.empty() ? "" : ", ") + TextAt(model, "/id");
    text_ += paint_.Bold("lull " + TextAt(stats_, "/version")) + "  " + where + "  " + models +
             "  up " + AgeText(Number("/uptime_s")) + "\n\n";
  }
  void Cpu() {
    const double budget = Number("/cpu/mean_budget"), share = Number("/cpu/share");
    std::string words = PercentText(share);
    if (budget <= 0) {
      Row("CPU", share, -1, words + " of the CPUs, no budget declared");
      return;
    }
    words +=
        " of " + PercentText(budget) + ", " + PercentText(std::max(budget - share, 0.0)) + " left";
    Row("CPU", share, budget, words);
    const double windows = Number("/cpu/windows"), over = Number("/cpu/windows_over");
    const bool kept = over <= 0.01 * windows;
    const std::string judged = Count(over) + " of " + Count(windows) +
                               " watched windows of 100 ms above " +
                               PercentText(Number("/cpu/p99_budget"));
    Line("", kept ? judged : paint_.Red(judged + ": over budget"));
    if (Number("/cpu/allowed") < budget - 0.0005)
      Line("", paint_.Yellow("allowed now " + PercentText(Number("/cpu/allowed")) +
                             ": stepping back for other programs"));
  }
  void Bus() {
    const double used = Number("/bus/bytes_per_s"), budget = Number("/bus/budget");
    const std::string words = BytesText(used) + "/s";
    if (budget > 0)
      Row("Bus", used / budget, 1.0,
          words + " of " + BytesText(budget) + "/s, " + BytesText(std::max(budget - used, 0.0)) +
              "/s left");
    else
      Line("Bus", words + ", no limit declared");
  }
  void Memory() {
    const double used = Number("/memory/measured_bytes"), limit = Number("/memory/limit_bytes");
    if (limit > 0)
      Row("Memory", used / limit, 1.0,
          BytesText(used) + " of " + BytesText(limit) + ", " + BytesText(limit - used) + " left");
    else
      Line("Memory", BytesText(used) + ", no limit declared");
    std::string parts;
    if (const auto it = stats_.find("memory"); it != stats_.end() && it->is_object())
      for (const Json& part : ListAt(*it, "parts"))
        if (NumberAt(part, "/bytes") > 0)
          parts += (parts.empty() ? "" : ", ") + TextAt(part, "/name") + " " +
                   BytesText(NumberAt(part, "/bytes"));
    if (!parts.empty()) Line("", paint_.Dim(parts));
  }
  void Work() {
    Line("Tokens", NumberText("%.1f", Number("/tokens/decode_per_s")) + " written, " +
                       NumberText("%.1f", Number("/tokens/prefill_per_s")) + " read a second; " +
                       Count(Number("/tokens/new_total")) + " and " +
                       Count(Number("/tokens/prompt_total")) + " since the start");
    std::string queue = Count(Number("/queue/running")) + " running, " +
                        Count(Number("/queue/waiting")) + " waiting";
    if (Number("/queue/waiting") > 0 && Number("/queue/oldest_wait_ms") > 0)
      queue += " (longest " + MsText(Number("/queue/oldest_wait_ms")) + ")";
    Line("Requests", queue + ", " + Count(Number("/queue/finished")) + " finished, " +
                         Count(Number("/queue/refused")) + " refused");
  }
  void Latency() {
    for (const auto& [field, name] : {std::pair("ttft_s", "first token"), {"e2e_s", "answer"}}) {
      const std::string at = std::string("/latency/") + field;
      std::string words = Left(name, 12);
      for (const char* q : {"p50", "p95", "p99"})
        words += std::string(q) + " " + Left(SecondsAt(stats_, at + "/" + q), 9);
      const double target = Number("/latency/target_p95_s");
      if (std::string(field) == "e2e_s" && target > 0)
        words += "p95 target " + MsText(1000.0 * target);
      Line(std::string(field) == "ttft_s" ? "Latency" : "", words);
    }
  }
  void Machine() {
    Line("Machine", "busy " + PercentText(Number("/host/busy")) + ", others " +
                        PercentText(Number("/host/others")) + ", courtesy factor " +
                        NumberText("%.2f", Number("/host/courtesy_factor")));
    for (const Json& finding : ListAt(stats_, "doctor"))
      Line("", paint_.Yellow(TextAt(finding, "/name") + ": " + TextAt(finding, "/message")));
  }
  void Evidence() {
    const std::string verdict = TextAt(stats_, "/evidence/verdict");
    if (!verdict.empty())
      Line("Evidence", verdict + ", " + TextAt(stats_, "/evidence/time") + ", " +
                           TextAt(stats_, "/evidence/file") + " " + TextAt(stats_, "/evidence/id"));
  }
  void Requests() {
    const Json& requests = ListAt(stats_, "requests");
    if (requests.empty()) return;
    text_ += "\n" +
             paint_.Dim(
                 "  last requests                     tokens      queue    prompt"
                 "    answer    asleep") +
             "\n";
    for (size_t i = 0; i < std::min(requests.size(), kMostRequests); ++i) {
      const Json& r = requests[i];
      text_ +=
          "  " + Left(TextAt(r, "/id"), 30) +
          Right(Count(NumberAt(r, "/prompt_tokens")) + "+" + Count(NumberAt(r, "/new_tokens")), 10);
      for (const char* part :
           {"/lull/queue_ms", "/lull/prefill_ms", "/lull/decode_ms", "/lull/throttled_ms"})
        text_ += Right(MsText(NumberAt(r, part)), 10);
      text_ += "\n";
    }
    text_ += paint_.Dim("  lull explain ID tells where a request's time went") + "\n";
  }
  std::string Take() { return std::move(text_); }

 private:
  double Number(const char* pointer) const { return NumberAt(stats_, pointer); }
  void Line(const std::string& name, const std::string& words) {
    text_ += "  " + Left(name, kNameColumns) + words + "\n";
  }
  void Row(const std::string& name, double share, double limit, const std::string& words) {
    Line(name, Bar(share, kBarColumns, limit) + "  " + words);
  }

  const Json& stats_;
  const Painter& paint_;
  std::string text_;
};

// One request's times, milliseconds.
struct Times {
  double queue, prefill, decode, throttled, cpu, total;
};

// A bar of `length` that begins after `before`, both of total.
std::string Stretch(double before, double length, double total) {
  constexpr double kColumns = 44.0;
  const auto columns = [&](double ms) {
    return static_cast<size_t>(std::clamp(ms / std::max(total, 1e-9), 0.0, 1.0) * kColumns + 0.5);
  };
  std::string bar(columns(before), ' ');
  const size_t filled = std::max<size_t>(columns(before + length) - columns(before), 0);
  for (size_t i = 0; i < filled; ++i) bar += "━";
  if (filled == 0 && length > 0) bar += "╸";
  return bar;
}

// The reasons that weigh, the heaviest first.
std::vector<std::string> Reasons(const Json& request, const Times& t) {
  struct Reason {
    double ms;
    std::string text;
  };
  std::vector<Reason> reasons;
  const auto share = [&](double ms) { return NumberText("%.0f %% of it: ", 100.0 * ms / t.total); };
  const auto add = [&](double ms, const std::string& text) {
    if (ms >= 0.15 * t.total) reasons.push_back({ms, share(ms) + text});
  };
  const double prompt = NumberAt(request, "/prompt_tokens");
  const double cached = NumberAt(request, "/lull/cached_tokens");
  const double answer = NumberAt(request, "/new_tokens");
  add(t.queue,
      "waiting for other requests to end. More at once: --parallel, --kv-tokens; or a "
      "priority above the others'");
  add(t.throttled, "asleep to keep the budget. A larger --cpu or --mem-bw shortens exactly this");
  const double awake = std::max(t.prefill + t.decode - t.throttled, 0.0);
  const double awake_share = awake / std::max(t.prefill + t.decode, 1e-9);
  add(t.prefill * awake_share,
      "reading the prompt, " + Count(prompt - cached) + " tokens" +
          (cached > 0 ? " (" + Count(cached) + " more came from the prefix cache)"
                      : ". Beginning prompts alike lets the prefix cache take over"));
  add(t.decode * awake_share, "writing " + Count(answer) + " tokens, " +
                                  MsText(t.decode * awake_share / std::max(answer, 1.0)) +
                                  " each. Fewer: max_tokens");
  std::sort(reasons.begin(), reasons.end(),
            [](const Reason& a, const Reason& b) { return a.ms > b.ms; });
  std::vector<std::string> texts;
  for (const Reason& reason : reasons) texts.push_back(reason.text);
  if (awake > 0 && t.cpu < 0.5 * awake)
    texts.push_back("Awake it had " + NumberText("%.2f", t.cpu / awake) +
                    " CPUs' worth of time: other requests shared its steps, or other programs had "
                    "the CPUs");
  return texts;
}

}  // namespace

double NumberAt(const Json& json, const char* pointer) {
  return IsNumberAt(json, pointer) ? json.at(Json::json_pointer(pointer)).get<double>() : 0.0;
}

std::string TextAt(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  if (!json.contains(at) || !json.at(at).is_string()) return "";
  return Printable(json.at(at).get<std::string>(), 100);
}

std::string StatusScreen(const Json& stats, const std::string& where, const Painter& paint) {
  Screen screen(stats, paint);
  screen.Head(where);
  screen.Cpu();
  screen.Bus();
  screen.Memory();
  screen.Work();
  screen.Latency();
  screen.Machine();
  screen.Evidence();
  screen.Requests();
  return screen.Take();
}

std::string GaugeLine(const Json& stats, const Painter& paint) {
  const double share = NumberAt(stats, "/cpu/share"), budget = NumberAt(stats, "/cpu/mean_budget");
  std::string cpu = Right(PercentText(share), 7);
  if (budget > 0) {
    cpu += " of " + PercentText(budget);
    cpu = share <= NumberAt(stats, "/cpu/p99_budget") ? paint.Green(cpu) : paint.Red(cpu);
  }
  return "CPU " + Bar(share, 20, budget > 0 ? budget : -1.0) + " " + cpu + "  " +
         Right(NumberText("%.0f", NumberAt(stats, "/tokens/decode_per_s")), 4) + " tok/s written " +
         Right(NumberText("%.0f", NumberAt(stats, "/tokens/prefill_per_s")), 5) + " read  " +
         Count(NumberAt(stats, "/queue/running")) + " running " +
         Count(NumberAt(stats, "/queue/waiting")) + " waiting  " +
         BytesText(NumberAt(stats, "/memory/measured_bytes"));
}

std::string Explanation(const Json& request, const Painter& paint) {
  Times t{NumberAt(request, "/lull/queue_ms"),  NumberAt(request, "/lull/prefill_ms"),
          NumberAt(request, "/lull/decode_ms"), NumberAt(request, "/lull/throttled_ms"),
          NumberAt(request, "/lull/cpu_ms"),    NumberAt(request, "/total_ms")};
  t.total = std::max({t.total, t.queue + t.prefill + t.decode, 1e-3});
  std::string text = paint.Bold(TextAt(request, "/id")) + "  " + TextAt(request, "/endpoint") +
                     "  " + TextAt(request, "/model") + "\n";
  text += "ended with \"" + TextAt(request, "/finish_reason") + "\" after " + MsText(t.total) +
          ": " + Count(NumberAt(request, "/prompt_tokens")) + " tokens read, " +
          Count(NumberAt(request, "/new_tokens")) + " written\n";
  if (const std::string error = TextAt(request, "/error"); !error.empty())
    text += paint.Red("error: " + error) + "\n";
  text += "\n";
  const auto row = [&](const char* name, double before, double ms) {
    text +=
        "  " + Left(name, 10) + Right(MsText(ms), 9) + "  " + Stretch(before, ms, t.total) + "\n";
  };
  row("queue", 0, t.queue);
  row("prompt", t.queue, t.prefill);
  row("answer", t.queue + t.prefill, t.decode);
  row("asleep", t.queue, t.throttled);
  text += paint.Dim("  asleep: of prompt and answer, to keep the budget") + "\n\n";
  const double bytes = NumberAt(request, "/lull/bytes_moved");
  text += "  CPU " + MsText(t.cpu) + ", " + BytesText(bytes) + " moved, KV " +
          BytesText(NumberAt(request, "/lull/kv_bytes")) + ", " +
          Count(NumberAt(request, "/lull/cached_tokens")) + " of " +
          Count(NumberAt(request, "/prompt_tokens")) + " prompt tokens from the prefix cache\n";
  if (IsNumberAt(request, "/first_token_ms"))
    text += "  first token after " + MsText(NumberAt(request, "/first_token_ms")) + "\n";
  if (const double p95_ms = NumberAt(request, "/p95_s") * 1e3; p95_ms > 0)
    text += "  " + std::string(t.total <= p95_ms ? "within" : "beyond") + " the p95 of " +
            MsText(p95_ms) + ", which is judged over all requests: none is refused or cut for it\n";
  text += "\n" + paint.Bold("Where the time went") + "\n";
  for (const std::string& reason : Reasons(request, t)) text += "  " + reason + "\n";
  return text;
}

}  // namespace lull
