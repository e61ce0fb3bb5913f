#include "base/nearest_names.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/ascii.h"

namespace mlxd {
namespace {

constexpr std::size_t kMaxCompared = 256;  // names longer than this are compared by their beginning

std::string_view last_part(std::string_view name) {
  const std::size_t slash = name.find_last_of('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, kMaxCompared);
  b = b.substr(0, kMaxCompared);
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({substitution, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> candidates,
                                       std::size_t count) {
  using Scored = std::tuple<bool, std::size_t, std::string>;  // smallest first: contains, distance, name
  const std::string wanted = to_lower(last_part(name));
  std::vector<Scored> scored;
  for (const std::string& candidate : candidates) {
    const std::string part = to_lower(last_part(candidate));
    const bool contains = !wanted.empty() && part.find(wanted) != std::string::npos;
    const std::size_t distance = edit_distance(wanted, part);
    scored.emplace_back(!contains, distance, candidate);
  }
  std::sort(scored.begin(), scored.end());
  std::vector<std::string> names;
  for (const Scored& entry : scored) {
    if (names.size() == count) break;
    names.push_back(std::get<2>(entry));
  }
  return names;
}

bool is_slip(std::string_view written, std::string_view meant) {
  return edit_distance(to_lower(written), to_lower(meant)) <= std::min<std::size_t>(3, written.size() / 2);
}

}  // namespace mlxd
