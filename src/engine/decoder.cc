#include "lull/decoder.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "decode/logprobs.h"
#include "engine/kv_options.h"
#include "engine/memory_plan.h"
#include "engine/runtime_rep.h"

namespace lull {

struct Decoder::Rep {
  Status CheckRows(std::span<const BatchRow> rows, std::span<const int32_t> logits_rows) const;
  // Rows [begin, end) of a longer batch: its logits go where the whole batch has them.
  Status ForwardPiece(std::span<const BatchRow> rows, size_t begin, size_t end,
                      std::span<const int32_t> logits_rows, float* logits);

  Runtime::Rep* runtime = nullptr;
  std::unique_ptr<Runner> runner;
  std::set<int32_t> open;
  std::vector<float> piece_logits;
};

Result<std::unique_ptr<Decoder>> Decoder::Create(const Model& model, Runtime& runtime,
                                                 const DecoderOptions& options) {
  KvRequest request;
  request.kv_type = options.kv_type;
  request.activation_type = options.activation_type;
  request.max_context_tokens = options.max_context_tokens;
  request.default_context_tokens = model.info().context_tokens;
  request.kv_pool_tokens = options.kv_pool_tokens;
  request.max_sequences = options.max_sequences;
  request.max_batch_rows = options.max_batch_rows;
  LULL_ASSIGN_OR_RETURN(RunnerPlan plan, PlanRunner(model, runtime, request));
  auto rep = std::make_unique<Rep>();
  rep->runtime = &runtime.rep();
  LULL_ASSIGN_OR_RETURN(rep->runner, MakeSharedRunner(model, runtime, std::move(plan)));
  return std::unique_ptr<Decoder>(new Decoder(std::move(rep)));
}

Decoder::Decoder(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Decoder::~Decoder() = default;

Result<int32_t> Decoder::OpenSequence(std::span<const AdapterUse> adapters) {
  LULL_ASSIGN_OR_RETURN(const int sequence, rep_->runner->OpenSequence());
  const Status status = rep_->runner->SetAdapters(sequence, adapters);
  if (!status.ok()) {
    rep_->runner->CloseSequence(sequence);
    return status;
  }
  rep_->open.insert(sequence);
  return int32_t{sequence};
}

void Decoder::CloseSequence(int32_t sequence) {
  if (rep_->open.erase(sequence) > 0) rep_->runner->CloseSequence(sequence);
}

Status Decoder::TruncateSequence(int32_t sequence, int64_t length_tokens) {
  const int64_t length = SequenceLength(sequence);
  if (!rep_->open.count(sequence) || length_tokens < 0 || length_tokens > length) {
    return {ErrorCode::kUsage,
            "sequence " + std::to_string(sequence) + " cannot be cut to " +
                std::to_string(length_tokens) + " tokens, it has " + std::to_string(length),
            "length_tokens", "give an open sequence and a length up to its own"};
  }
  return rep_->runner->TruncateSequence(sequence, length_tokens);
}

int64_t Decoder::SequenceLength(int32_t sequence) const {
  return rep_->open.count(sequence) ? rep_->runner->SequenceLength(sequence) : 0;
}

int64_t Decoder::max_context_tokens() const { return rep_->runner->max_context_tokens(); }
KvUsage Decoder::kv_usage() const { return rep_->runner->kv_usage(); }

Status Decoder::Rep::CheckRows(std::span<const BatchRow> rows,
                               std::span<const int32_t> logits_rows) const {
  std::map<int32_t, int64_t> next;  // position each sequence goes on at
  for (size_t i = 0; i < rows.size(); ++i) {
    const BatchRow& row = rows[i];
    const std::string where = "rows[" + std::to_string(i) + "]";
    if (!open.count(row.sequence)) {
      return {ErrorCode::kUsage, "sequence " + std::to_string(row.sequence) + " is not open", where,
              "open it with OpenSequence"};
    }
    if (row.token < 0 || row.token >= runner->vocab_size()) {
      return {ErrorCode::kUsage, "token " + std::to_string(row.token) + " is not in the vocabulary",
              where, "token ids run from 0 to " + std::to_string(runner->vocab_size() - 1)};
    }
    int64_t& position =
        next.try_emplace(row.sequence, runner->SequenceLength(row.sequence)).first->second;
    if (row.position != position) {
      return {ErrorCode::kUsage,
              "position " + std::to_string(row.position) + ", the sequence goes on at " +
                  std::to_string(position),
              where, "give consecutive positions from the sequence's length on"};
    }
    if (position >= runner->max_context_tokens()) {
      return {ErrorCode::kContextOverflow,
              "position " + std::to_string(position) + " is beyond the context", where,
              "a sequence may have at most " + std::to_string(runner->max_context_tokens()) +
                  " tokens"};
    }
    ++position;
  }
  for (const int32_t row : logits_rows) {
    if (row >= 0 && static_cast<size_t>(row) < rows.size()) continue;
    return {ErrorCode::kUsage, "logits of row " + std::to_string(row) + " asked for", "logits_rows",
            "the batch has " + std::to_string(rows.size()) + " rows"};
  }
  return Status::Ok();
}

Status Decoder::Rep::ForwardPiece(std::span<const BatchRow> rows, size_t begin, size_t end,
                                  std::span<const int32_t> logits_rows, float* logits) {
  const size_t vocab = static_cast<size_t>(runner->vocab_size());
  std::vector<int32_t> wanted;
  std::vector<size_t> slots;
  for (size_t i = 0; i < logits_rows.size(); ++i) {
    const size_t row = static_cast<size_t>(logits_rows[i]);
    if (row < begin || row >= end) continue;
    wanted.push_back(static_cast<int32_t>(row - begin));
    slots.push_back(i);
  }
  const std::span<const BatchRow> piece = rows.subspan(begin, end - begin);
  const bool adjacent = slots.empty() || slots.back() - slots.front() + 1 == slots.size();
  if (adjacent) {
    float* out = slots.empty() ? logits : logits + slots.front() * vocab;
    return runner->Forward(runtime->Context(), piece, wanted, out);
  }
  piece_logits.resize(wanted.size() * vocab);
  LULL_RETURN_IF_ERROR(runner->Forward(runtime->Context(), piece, wanted, piece_logits.data()));
  for (size_t i = 0; i < slots.size(); ++i) {
    std::copy_n(piece_logits.data() + i * vocab, vocab, logits + slots[i] * vocab);
  }
  return Status::Ok();
}

Status Decoder::Forward(std::span<const BatchRow> rows, std::span<const int32_t> logits_rows,
                        float* logits) {
  LULL_RETURN_IF_ERROR(rep_->CheckRows(rows, logits_rows));
  const size_t max_rows = static_cast<size_t>(rep_->runner->max_batch_rows());
  for (size_t begin = 0; begin < rows.size(); begin += max_rows) {
    const size_t end = std::min(rows.size(), begin + max_rows);
    LULL_RETURN_IF_ERROR(rep_->ForwardPiece(rows, begin, end, logits_rows, logits));
  }
  return Status::Ok();
}

std::vector<TokenLogprob> Decoder::TopLogprobs(std::span<const float> logits, int k) const {
  return ComputeLogprobs(rep_->runtime->SingleThreaded(), logits, -1, k).top;
}

double Decoder::LogprobOf(std::span<const float> logits, int32_t token) const {
  return lull::LogprobOf(rep_->runtime->SingleThreaded(), logits, token);
}

}  // namespace lull
