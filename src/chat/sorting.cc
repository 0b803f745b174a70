#include "chat/sorting.h"

#include <algorithm>

namespace lull::jinja {
namespace {

// std::stable_sort may run out of bounds where a comparison is inconsistent, as it is with NaN.
void Merge(Run& run, const Values& keys, bool reverse, std::vector<size_t>& order,
           std::vector<size_t>& spare, size_t begin, size_t middle, size_t end) {
  size_t left = begin, right = middle;
  for (size_t i = begin; i < end; ++i) {
    bool take_right = left == middle;
    if (left < middle && right < end && run.ok()) {
      const Value& a = keys[order[left]];
      const Value& b = keys[order[right]];
      take_right = reverse ? Order(run, a, b, "<") == -1 : Order(run, b, a, "<") == -1;
    }
    spare[i] = take_right ? order[right++] : order[left++];
  }
  for (size_t i = begin; i < end; ++i) order[i] = spare[i];
  run.work()->Spend((end - begin) / 16);
}

}  // namespace

std::vector<size_t> SortedOrder(Run& run, const Values& keys, bool reverse) {
  std::vector<size_t> order, spare;
  AssignPaced(run.work(), keys.size(), size_t{0}, &order);
  AssignPaced(run.work(), keys.size(), size_t{0}, &spare);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t width = 1; width < order.size() && run.ok(); width *= 2) {
    for (size_t begin = 0; begin + width < order.size(); begin += 2 * width) {
      Merge(run, keys, reverse, order, spare, begin, begin + width,
            std::min(begin + 2 * width, order.size()));
    }
  }
  FreePaced(run.work(), &spare);
  return order;
}

}  // namespace lull::jinja
