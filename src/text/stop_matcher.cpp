#include "text/stop_matcher.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mlxd {

namespace {

// Aho and Corasick, "Efficient string matching" (1975). Children are linked lists, so that memory is linear
// in the stop strings whatever their bytes.
struct Node {
  std::int32_t first_child = -1;
  std::int32_t next_sibling = -1;
  std::int32_t failure = 0;
  std::int32_t depth = 0;
  std::int32_t longest_match = -1;  // index of the longest stop string that ends here
  std::uint8_t byte = 0;
};

}  // namespace

struct StopMatcher::Impl {
  explicit Impl(std::span<const std::string> stops) : stop_strings(stops.begin(), stops.end()) {
    nodes.emplace_back();
    for (std::size_t i = 0; i < stop_strings.size(); ++i) insert(i);
    link_failures();
  }

  std::int32_t child(std::int32_t node, std::uint8_t byte) const {
    std::int32_t next = node == 0 ? root_children[byte] : nodes[static_cast<std::size_t>(node)].first_child;
    if (node == 0) return next;
    while (next >= 0 && nodes[static_cast<std::size_t>(next)].byte != byte) {
      next = nodes[static_cast<std::size_t>(next)].next_sibling;
    }
    return next;
  }

  void insert(std::size_t index) {
    const std::string& text = stop_strings[index];
    if (text.empty()) return;
    std::int32_t node = 0;
    for (const char character : text) {
      const auto byte = static_cast<std::uint8_t>(character);
      std::int32_t next = child(node, byte);
      if (next < 0) {
        next = static_cast<std::int32_t>(nodes.size());
        Node made;
        made.byte = byte;
        made.depth = nodes[static_cast<std::size_t>(node)].depth + 1;
        made.next_sibling = nodes[static_cast<std::size_t>(node)].first_child;
        nodes.push_back(made);
        nodes[static_cast<std::size_t>(node)].first_child = next;
        if (node == 0) root_children[byte] = next;
      }
      node = next;
    }
    std::int32_t& match = nodes[static_cast<std::size_t>(node)].longest_match;
    if (match < 0) match = static_cast<std::int32_t>(index);
  }

  std::int32_t step(std::int32_t node, std::uint8_t byte) const {
    for (;;) {
      const std::int32_t next = child(node, byte);
      if (next >= 0) return next;
      if (node == 0) return 0;
      node = nodes[static_cast<std::size_t>(node)].failure;
    }
  }

  void link_failures() {
    std::vector<std::int32_t> queue{0};
    queue.reserve(nodes.size());
    for (std::size_t at = 0; at < queue.size(); ++at) {
      const std::int32_t parent = queue[at];
      for (std::int32_t node = nodes[static_cast<std::size_t>(parent)].first_child; node >= 0;
           node = nodes[static_cast<std::size_t>(node)].next_sibling) {
        Node& made = nodes[static_cast<std::size_t>(node)];
        made.failure = parent == 0 ? 0 : step(nodes[static_cast<std::size_t>(parent)].failure, made.byte);
        if (made.longest_match < 0)
          made.longest_match = nodes[static_cast<std::size_t>(made.failure)].longest_match;
        queue.push_back(node);
      }
    }
  }

  /// The stop string that ends first wins; of several that end there the longest, so that the text before it
  /// is the shortest and no part of a stop string is shown.
  Output push(std::string_view piece) {
    Output output;
    if (nodes.size() == 1) {
      output.text = piece;
      return output;
    }
    held.append(piece);
    for (std::size_t at = held.size() - piece.size(); at < held.size(); ++at) {
      state = step(state, static_cast<std::uint8_t>(held[at]));
      const std::int32_t match = nodes[static_cast<std::size_t>(state)].longest_match;
      if (match >= 0) {
        output.stopped = true;
        output.matched = stop_strings[static_cast<std::size_t>(match)];
        output.text = held.substr(0, at + 1 - output.matched.size());
        held.clear();
        state = 0;
        return output;
      }
    }
    // The state's depth is the longest end of the text that a stop string begins with.
    const auto undecided = static_cast<std::size_t>(nodes[static_cast<std::size_t>(state)].depth);
    output.text = held.substr(0, held.size() - undecided);
    held.erase(0, held.size() - undecided);
    return output;
  }

  std::vector<std::string> stop_strings;
  std::vector<Node> nodes;
  std::vector<std::int32_t> root_children = std::vector<std::int32_t>(256, -1);
  std::int32_t state = 0;
  std::string held;
};

StopMatcher::StopMatcher(std::span<const std::string> stop_strings)
    : impl_(std::make_unique<Impl>(stop_strings)) {}
StopMatcher::~StopMatcher() = default;
StopMatcher::StopMatcher(StopMatcher&&) noexcept = default;
StopMatcher& StopMatcher::operator=(StopMatcher&&) noexcept = default;

StopMatcher::Output StopMatcher::push(std::string_view piece) { return impl_->push(piece); }

std::string StopMatcher::finish() {
  impl_->state = 0;
  return std::move(impl_->held);
}

}  // namespace mlxd
