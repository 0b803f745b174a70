// One forward pass over a ragged batch, and the KV state of the sequences it serves.
// Not thread-safe: one owner (the scheduler, or a public Decoder).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/exec_context.h"
#include "kernels/kernels.h"
#include "lull/decoder.h"
#include "lull/request.h"
#include "lull/status.h"

namespace lull {

class LoadedModel;     // model/loaded_model.h
class MatMulObserver;  // ops/matmul_observer.h

struct RunnerOptions {
  KvType kv_type = KvType::kF16;
  int64_t max_context_tokens = 0;  // per sequence; 0: the model's own limit
  int64_t kv_pool_tokens = 0;      // capacity of the page pool in tokens; 0: max_context_tokens
  int max_sequences = 64;
  int max_batch_rows = 512;         // rows of one Forward
  int64_t prefix_cache_tokens = 0;  // kept at most of sequences that have gone; 0: no prefix cache
  bool wide_activations = false;    // K-quants read activations in blocks of 256, not of 32
  // Told of every matrix product; the last layer then computes all rows. Outlives the runner.
  MatMulObserver* observer = nullptr;
};

// What a runner allocates, in bytes.
struct RunnerMemory {
  int64_t kv_bytes = 0;           // pools and recurrent state
  int64_t sequence_kv_bytes = 0;  // of it, what one sequence of max_context_tokens holds at most
  // Buffers of max_batch_rows rows, scratch of the threads, rotary tables.
  int64_t activation_bytes = 0;
};
// Of MakeRunner with these arguments; allocates nothing. kUsage as MakeRunner.
Result<RunnerMemory> MeasureRunner(const LoadedModel& model, const Kernels& kernels,
                                   const RunnerOptions& options, int threads);

class Runner {
 public:
  virtual ~Runner() = default;

  virtual int64_t vocab_size() const = 0;
  virtual int64_t max_context_tokens() const = 0;
  virtual int max_batch_rows() const = 0;

  // A new, empty sequence; kBusy where max_sequences are open.
  virtual Result<int> OpenSequence() = 0;
  virtual void CloseSequence(int sequence) = 0;  // frees its pages; unknown ids are ignored
  // For an empty sequence, before AdoptPrefix: what its rows add to the model's matrices, until it
  // closes. Held meanwhile. kUsage for adapters of another model, or too many.
  virtual Status SetAdapters(int sequence, std::span<const AdapterUse> adapters) = 0;
  // For an empty sequence: takes over the longest prefix of `tokens` that is kept, without the last
  // token, and leaves its own pages behind when it goes. Returns the length; the bits are those
  // that computing it again would give. 0 without a prefix cache.
  virtual int64_t AdoptPrefix(int sequence, std::span<const int32_t> tokens) = 0;
  // Forgets positions >= length. kUnsupported where recurrent state makes it impossible.
  virtual Status TruncateSequence(int sequence, int64_t length) = 0;
  virtual int64_t SequenceLength(int sequence) const = 0;

  // True where the pool can hold `tokens` more positions for this sequence.
  virtual bool HasRoom(int sequence, int64_t tokens) const = 0;
  virtual KvUsage kv_usage() const = 0;
  // Bytes of the pages that the sequence holds.
  virtual int64_t SequenceKvBytes(int sequence) const = 0;
  // Weights and KV that its passes have read so far; counted where the context has a pacer.
  virtual int64_t bytes_moved() const = 0;

  // Computes all rows, writes their K and V, and for logits_rows[i] (an index into rows) writes
  // logits [vocab] at logits + i * vocab. Rows of one sequence are consecutive positions in
  // ascending order, the first being its length. On error no sequence has changed its length.
  virtual Status Forward(const ExecContext& ctx, std::span<const BatchRow> rows,
                         std::span<const int32_t> logits_rows, float* logits) = 0;
  // fn(0) to fn(n - 1), on the threads of the context's pool where they are free now, and returns
  // when all are done. For what follows a pass row by row; each checkpoints for itself.
  virtual void ForEachRow(const ExecContext& ctx, size_t n,
                          const std::function<void(size_t)>& fn) = 0;
};

// The model outlives the runner.
Result<std::unique_ptr<Runner>> MakeRunner(const LoadedModel& model, const Kernels& kernels,
                                           const RunnerOptions& options);

}  // namespace lull
