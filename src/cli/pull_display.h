// What a pull says on stderr while it runs: one line a file, redrawn on a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/pull_queue.h"

namespace lull {

// Not thread-safe: a pull tells its events one at a time.
class PullDisplay {
 public:
  explicit PullDisplay(bool terminal) : terminal_(terminal) {}
  ~PullDisplay() { Finish(); }

  void Update(const PullEvent& event);
  // A line that stays, above what is redrawn.
  void Say(const std::string& line);
  void Finish();

 private:
  struct Row {
    PullEvent event;
    int told_quarters = 0;  // of those that a log gets a line for
    std::string told_note;
  };
  Row& RowOf(const PullEvent& event);
  void Log(Row& row);
  void Erase();
  void Draw();

  const bool terminal_;
  std::vector<Row> rows_;
  size_t drawn_ = 0;  // rows on the terminal that are to be redrawn
  int64_t last_draw_ns_ = 0;
};

}  // namespace lull
