#include "cli/pull_display.h"

#include <algorithm>
#include <cstdio>

#include "base/os/os.h"
#include "cli/terminal_text.h"

namespace lull {
namespace {

constexpr int64_t kPullRedrawNs = 100'000'000;
// A row that the terminal wraps could not be redrawn: 79 columns, which the narrowest have.
constexpr size_t kFileColumns = 34, kProgressColumns = 20, kWaitColumns = 44, kFileChars = 400;

double FetchedShare(const PullEvent& event) {
  if (event.total_bytes == 0) return event.finished ? 1 : 0;
  return static_cast<double>(event.done_bytes) / static_cast<double>(event.total_bytes);
}

// The end of a long one: there the quant stands.
std::string FileText(const std::string& what) {
  std::string name = Printable(what, kFileChars);
  while (Columns(name) > kFileColumns) {
    size_t next = 1;
    while (next < name.size() && (name[next] & 0xC0) == 0x80) ++next;
    name.erase(0, next);
  }
  return Left(name, kFileColumns);
}

std::string PullRowText(const PullEvent& event) {
  const std::string name = FileText(event.what) + " ";
  if (!event.note.empty()) return name + Printable(event.note, kWaitColumns);
  if (event.total_bytes == 0) return name + (event.finished ? "done" : "");
  return name + Bar(FetchedShare(event), kProgressColumns) +
         Right(PercentText(FetchedShare(event)), 9) + "  " +
         BytesText(static_cast<double>(event.total_bytes));
}

// "HTTP 503, trying again in 3 s" is said once, whatever the seconds.
std::string NoteKind(const std::string& note) {
  return note.substr(0, note.find(", trying again"));
}

}  // namespace

PullDisplay::Row& PullDisplay::RowOf(const PullEvent& event) {
  const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) {
    return row.event.model == event.model && row.event.what == event.what;
  });
  if (found != rows_.end()) return *found;
  Row row;
  row.told_quarters = -1;
  rows_.push_back(row);
  return rows_.back();
}

void PullDisplay::Update(const PullEvent& event) {
  Row& row = RowOf(event);
  const bool known_total = event.total_bytes > 0 || row.event.total_bytes == 0;
  const PullEvent before = row.event;
  row.event = event;
  if (!known_total) {  // the end of a step that says no more
    row.event.total_bytes = before.total_bytes;
    row.event.done_bytes = before.done_bytes;
  }
  if (!terminal_) {
    Log(row);
  } else if (event.finished) {
    Erase();
    fprintf(stderr, "%s\n", PullRowText(row.event).c_str());
  }
  if (event.finished) rows_.erase(rows_.begin() + (&row - rows_.data()));
  if (terminal_) Draw();
}

void PullDisplay::Log(Row& row) {
  const PullEvent& event = row.event;
  const std::string name = Printable(event.what, kFileChars);
  if (!event.note.empty() && NoteKind(event.note) != row.told_note)
    fprintf(stderr, "%s: %s\n", name.c_str(), Printable(event.note, kFileChars).c_str());
  row.told_note = NoteKind(event.note);
  const int quarters = static_cast<int>(4 * FetchedShare(event));
  if (row.told_quarters < 0 && !event.finished) {
    row.told_quarters = quarters;
    const std::string size =
        event.total_bytes == 0 ? "" : ", " + BytesText(static_cast<double>(event.total_bytes));
    fprintf(stderr, "%s%s\n", name.c_str(), size.c_str());
  } else if (event.total_bytes > 0 && quarters > row.told_quarters) {
    row.told_quarters = quarters;
    fprintf(stderr, "%s: %d %%\n", name.c_str(), 25 * quarters);
  }
}

void PullDisplay::Erase() {
  if (drawn_ > 0) fprintf(stderr, "\x1b[%zuA\x1b[J", drawn_);
  drawn_ = 0;
}

void PullDisplay::Draw() {
  const int64_t now_ns = os::MonotonicNs();
  if (drawn_ == rows_.size() && now_ns - last_draw_ns_ < kPullRedrawNs) return;
  last_draw_ns_ = now_ns;
  Erase();
  for (const Row& row : rows_) fprintf(stderr, "%s\n", PullRowText(row.event).c_str());
  drawn_ = rows_.size();
  fflush(stderr);
}

void PullDisplay::Say(const std::string& line) {
  if (terminal_) Erase();
  fprintf(stderr, "%s\n", line.c_str());
  if (terminal_) Draw();
}

void PullDisplay::Finish() {
  rows_.clear();
  drawn_ = 0;
}

}  // namespace lull
