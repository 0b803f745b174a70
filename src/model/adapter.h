// What an Adapter holds: its matrices packed, found by the matrix of the model that they change.
#pragma once

#include <functional>
#include <memory>

#include "base/exec_context.h"
#include "base/os/os.h"
#include "formats/gguf.h"
#include "lull/adapter.h"
#include "lull/status.h"
#include "model/loaded_model.h"
#include "ops/low_rank.h"

namespace lull {

struct Adapter::Rep {
  AdapterInfo info;
  uint64_t model_id = 0;       // LoadedModel::id() of whose matrices they are
  LowRankTable table;          // alpha / rank is in b
  std::shared_ptr<void> held;  // what approve gave, for as long as the adapter lives
  os::Memory memory;           // goes before that
};

// approve: asked for the bytes before they are taken. Under ctx: tiles, checkpoints, cancel. The
// file may be closed afterwards.
// give_way: called between matrices, with nothing running on the context's pool.
using ApproveAdapter = std::function<Result<std::shared_ptr<void>>(int64_t bytes)>;
Result<std::unique_ptr<Adapter::Rep>> LoadAdapter(const ExecContext& ctx, const GgufFile& file,
                                                  const LoadedModel& model,
                                                  const ApproveAdapter& approve,
                                                  const std::function<void()>& give_way = {});

}  // namespace lull
