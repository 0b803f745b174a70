// Logits of llama.cpp for given token ids:
//   logits_oracle MODEL TOKENS_FILE OUT [--lines] [--defaults | --exact] [--threads N]
//                 [--lora ADAPTER [--lora-scale S]]
// TOKENS_FILE holds decimal ids separated by white space; OUT gets f32 [tokens, vocab]. With
// --lines every line is a sequence of its own: the first position whose logits are wanted, then its
// ids.
#include "session.h"

int main(int argc, char** argv) {
  oracle::Options options;
  if (argc < 4 || !options.Parse(argc, argv, 4)) {
    fprintf(stderr,
            "usage: logits_oracle MODEL TOKENS_FILE OUT [--lines] [--defaults | --exact] "
            "[--threads N]\n");
    return 2;
  }
  const std::vector<oracle::Sequence> sequences = oracle::ReadSequences(argv[2], options.lines);
  if (sequences.empty()) return 2;
  oracle::Session session;
  if (!session.Open(argv[1], options.mode, oracle::LongestOf(sequences), options.threads)) return 3;
  if (!options.lora.empty() && !session.Adapt(options.lora.c_str(), options.lora_scale)) return 3;
  std::ofstream out(argv[3], std::ios::binary);
  for (const oracle::Sequence& sequence : sequences) {
    session.Forget();
    const size_t end = sequence.tokens.size();
    const size_t first = static_cast<size_t>(sequence.first);
    if (!session.Feed(sequence.tokens, 0, end, first)) return 3;
    for (size_t i = first; i < end; ++i) {
      const float* row = llama_get_logits_ith(session.context, static_cast<int32_t>(i));
      out.write(reinterpret_cast<const char*>(row),
                static_cast<std::streamsize>(session.vocab * sizeof(float)));
    }
  }
  out.close();
  return out.good() ? 0 : 3;
}
