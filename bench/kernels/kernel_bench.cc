// kernel_bench: every kernel on its own, with its share of what the machine can do at most.
// docs/guides/measuring_kernels.md
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/kernels/noise.h"
#include "bench/kernels/session.h"
#include "evidence/machine.h"
#include "evidence/record.h"
#include "quant/quant_format.h"

namespace lull {
namespace {

Status MeasureIsa(const Options& options, const Kernels& kernels, nlohmann::json* results) {
  Session session(options, kernels);
  LULL_RETURN_IF_ERROR(session.MeasureRoofs());
  LULL_RETURN_IF_ERROR(AddMatMul(session));
  LULL_RETURN_IF_ERROR(AddAttention(session));
  LULL_RETURN_IF_ERROR(AddRowKernels(session));
  if (!options.json) session.PrintSummary();
  results->push_back(session.ToJson());
  return Status();
}

Status Measure(const Options& options) {
  std::vector<const Kernels*> tables;
  for (const std::string& isa : options.isas) {
    LULL_ASSIGN_OR_RETURN(const Kernels* found, FindKernels(isa.c_str()));
    tables.push_back(found);
  }
  for (const char* name : {"amx", "avx512", "avx2vnni", "avx2"}) {
    const Result<const Kernels*> found = FindKernels(name);
    if (options.isas.empty() && found.ok()) tables.push_back(*found);
  }
  const Machine machine = ReadMachine();
  const std::string load = LoadAverages();
  if (!options.json) std::printf("%s; load %s\n", Describe(machine).c_str(), load.c_str());
  NoiseMeter noise;
  nlohmann::json results = nlohmann::json::array();
  for (const Kernels* kernels : tables)
    LULL_RETURN_IF_ERROR(MeasureIsa(options, *kernels, &results));
  const double others = noise.OtherCpus();
  if (!options.json)
    std::printf("\nother work kept %.2f CPUs busy; ~ marks figures taken beside more than %.2f\n",
                others, options.quiet);
  const nlohmann::json record = {{"kind", "kernel_bench"},     {"time", UtcNow()},
                                 {"machine", ToJson(machine)}, {"threads", options.threads},
                                 {"load_before", load},        {"load_after", LoadAverages()},
                                 {"other_cpus", others},       {"results", results}};
  if (options.json) std::printf("%s\n", record.dump().c_str());
  return options.record.empty() ? Status() : AppendRecord(options.record, record);
}

Status ParseShape(const std::string& text, Shape* shape) {
  char end = 0;
  if (std::sscanf(text.c_str(), "%zux%zu%c", &shape->k, &shape->n, &end) != 2 || shape->k == 0 ||
      shape->n == 0 || shape->k % 32 != 0 || shape->k > (1 << 16) || shape->n > (1 << 18))
    return Status(ErrorCode::kUsage, "not a shape: " + text, "command line",
                  "KxN, K a multiple of 32 (of 256 for K-quants), e.g. 4096x4096");
  return Status();
}

Status CheckTypes(const Options& options) {
  for (const std::string& type : options.types)
    if (FindQuantFormatByName(type.c_str()) == nullptr)
      return Status(ErrorCode::kUsage, "unknown quantization type", type, "e.g. Q4_1");
  return Status();
}

int Main(int argc, char** argv) {
  Options options;
  std::string memory = "4096x4096", cached = "1024x1024";
  CLI::App app("Every kernel on its own, with its share of the machine's roof");
  app.add_option("--isa", options.isas, "instruction sets (default: all here but scalar)")
      ->delimiter(',');
  app.add_option("--type", options.types, "quantization types, e.g. Q4_1,Q8_0")->delimiter(',');
  app.add_option("--rows", options.rows, "activation rows (default 1,2,4,8,16,64,512)")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("--threads", options.threads, "of matrix products and attention (default 1)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--filter", options.filter, "only figures whose \"kernel type shape\" has this");
  app.add_option("--shape", memory, "K x N of matrices read from memory (4096x4096)");
  app.add_option("--cached-shape", cached, "K x N of one that stays in cache (1024x1024)");
  app.add_option("--memory-mib", options.memory_mib, "copies of the first (default: beyond L3)")
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--ms", options.ms, "time of a figure (60)")->check(CLI::Range(1.0, 60000.0));
  app.add_option("--quiet", options.quiet, "CPUs others may use before a figure is repeated (0.1)");
  app.add_option("--retries", options.retries, "repetitions of a disturbed figure (3)")
      ->check(CLI::Range(0, 1000));
  app.add_flag("--json", options.json, "one JSON record with every sample, no table");
  app.add_option("--record", options.record, "append the record to this file");
  CLI11_PARSE(app, argc, argv);
  Status status = ParseShape(memory, &options.memory);
  if (status.ok()) status = ParseShape(cached, &options.cached);
  if (status.ok()) status = CheckTypes(options);
  if (status.ok()) status = Measure(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "kernel_bench: %s\n", status.ToString().c_str());
  return status.code() == ErrorCode::kUsage ? 2 : 3;
}

}  // namespace
}  // namespace lull

int main(int argc, char** argv) { return lull::Main(argc, argv); }
