#include "engine/prefix_tree.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace mlxd {
namespace {

// More children than these are not compared: their prompts part at the first token or two anyway.
constexpr std::int32_t kMostCompared = 256;

// SplitMix64's finalizer (Steele et al., 2014): every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

std::int32_t common_tokens(std::span<const TokenId> a, std::span<const TokenId> b) {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::int32_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

}  // namespace

PrefixTree::PrefixTree(std::size_t capacity, std::uint64_t hash_mask)
    : hash_mask_(hash_mask), buckets_(std::bit_ceil(2 * capacity + 16), kNoNode) {
  constexpr std::size_t kRoots = 16;
  nodes_.reserve(capacity + kRoots);
  free_.reserve(capacity + kRoots);
}

std::uint64_t PrefixTree::hash_of(NodeId parent, std::span<const TokenId> tokens) const {
  std::uint64_t hash = nodes_[parent].hash;
  for (const TokenId token : tokens)
    hash = mix(hash + 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(static_cast<std::uint32_t>(token)));
  return hash;
}

PrefixTree::NodeId PrefixTree::take_node() {
  if (free_.empty()) {
    nodes_.emplace_back();
    return static_cast<NodeId>(nodes_.size() - 1);
  }
  const NodeId id = free_.back();
  free_.pop_back();
  nodes_[id] = Node();
  return id;
}

PrefixTree::NodeId PrefixTree::find_root(std::string_view salt) const {
  const auto found = roots_.find(salt);
  return found == roots_.end() ? kNoNode : found->second;
}

PrefixTree::NodeId PrefixTree::ensure_root(std::string_view salt) {
  if (const NodeId found = find_root(salt); found != kNoNode) return found;
  const NodeId id = take_node();
  std::uint64_t hash = mix(salt.size() + 1);
  for (const char c : salt) hash = mix(hash + 0x9E3779B97F4A7C15U + static_cast<unsigned char>(c));
  nodes_[id].hash = hash;
  nodes_[id].pages.fill(kNoPage);
  roots_.emplace(salt, id);
  return id;
}

PrefixTree::NodeId PrefixTree::find_child(NodeId parent, std::span<const TokenId> tokens) const {
  if (nodes_[parent].num_children == 0) return kNoNode;
  const std::uint64_t hash = hash_of(parent, tokens);
  for (NodeId id = buckets_[bucket_of(hash)]; id != kNoNode; id = nodes_[id].next_in_bucket) {
    const Node& candidate = nodes_[id];
    if (candidate.parent == parent && std::equal(tokens.begin(), tokens.end(), candidate.tokens.begin()))
      return id;
  }
  return kNoNode;
}

void PrefixTree::enter_index(NodeId id) {
  NodeId& first = buckets_[bucket_of(nodes_[id].hash)];
  nodes_[id].next_in_bucket = std::exchange(first, id);
}

void PrefixTree::leave_index(NodeId id) {
  NodeId* link = &buckets_[bucket_of(nodes_[id].hash)];
  while (*link != id) link = &nodes_[*link].next_in_bucket;
  *link = nodes_[id].next_in_bucket;
}

PrefixTree::Common PrefixTree::closest_child(NodeId parent, std::span<const TokenId> tokens) const {
  Common closest{nodes_[parent].first_child, 0};
  std::int32_t compared = 0;
  for (NodeId id = nodes_[parent].first_child; id != kNoNode && compared < kMostCompared;
       id = nodes_[id].next_sibling, ++compared) {
    const std::int32_t common = common_tokens(nodes_[id].text(), tokens);
    if (common > closest.num_tokens) closest = {id, common};
  }
  return closest;
}

PrefixTree::Common PrefixTree::longest_contained(NodeId parent, std::span<const TokenId> tokens) const {
  Common longest;
  std::int32_t compared = 0;
  for (NodeId id = nodes_[parent].first_child; id != kNoNode && compared < kMostCompared;
       id = nodes_[id].next_sibling, ++compared) {
    const Node& child = nodes_[id];
    if (child.is_full() || child.num_tokens <= longest.num_tokens) continue;
    if (common_tokens(child.text(), tokens) == child.num_tokens) longest = {id, child.num_tokens};
  }
  return longest;
}

PrefixTree::NodeId PrefixTree::add_child(NodeId parent, std::span<const TokenId> tokens) {
  CHECK(!tokens.empty() && tokens.size() <= kPageTokens);
  const NodeId id = take_node();
  Node& added = nodes_[id];
  added.depth = nodes_[parent].depth + 1;
  added.num_tokens = static_cast<std::int32_t>(tokens.size());
  std::copy(tokens.begin(), tokens.end(), added.tokens.begin());
  added.pages.fill(kNoPage);
  added.hash = hash_of(parent, tokens);
  if (added.is_full()) enter_index(id);
  link(parent, id);
  return id;
}

void PrefixTree::extend(NodeId id, std::span<const TokenId> tokens) {
  Node& longer = nodes_[id];
  CHECK(!longer.is_full() && common_tokens(longer.text(), tokens) == longer.num_tokens);
  longer.num_tokens = static_cast<std::int32_t>(tokens.size());
  std::copy(tokens.begin(), tokens.end(), longer.tokens.begin());
  longer.hash = hash_of(longer.parent, tokens);
  if (longer.is_full()) enter_index(id);
}

void PrefixTree::remove(NodeId id) {
  Node& gone = nodes_[id];
  CHECK(gone.num_children == 0 && gone.num_users == 0);
  if (gone.is_root()) {
    const auto root =
        std::find_if(roots_.begin(), roots_.end(), [id](const auto& entry) { return entry.second == id; });
    CHECK(root != roots_.end());
    roots_.erase(root);
  } else {
    if (gone.is_full()) leave_index(id);
    unlink(id);
  }
  free_.push_back(id);
}

void PrefixTree::link(NodeId parent, NodeId child) {
  Node& above = nodes_[parent];
  Node& below = nodes_[child];
  below.parent = parent;
  below.next_sibling = above.first_child;
  if (above.first_child != kNoNode) nodes_[above.first_child].previous_sibling = child;
  above.first_child = child;
  ++above.num_children;
}

void PrefixTree::unlink(NodeId child) {
  const Node& below = nodes_[child];
  Node& above = nodes_[below.parent];
  if (below.previous_sibling == kNoNode)
    above.first_child = below.next_sibling;
  else
    nodes_[below.previous_sibling].next_sibling = below.next_sibling;
  if (below.next_sibling != kNoNode) nodes_[below.next_sibling].previous_sibling = below.previous_sibling;
  --above.num_children;
}

bool PrefixTree::is_intact() const {
  std::vector<bool> is_free(nodes_.size(), false);
  for (const NodeId id : free_) is_free[id] = true;
  std::size_t num_full = 0;
  std::size_t num_roots = 0;
  for (NodeId id = 0; id < nodes_.size(); ++id) {
    if (is_free[id]) continue;
    const Node& entry = nodes_[id];
    std::int32_t children = 0;
    for (NodeId child = entry.first_child; child != kNoNode; child = nodes_[child].next_sibling) {
      if (is_free[child] || nodes_[child].parent != id || nodes_[child].depth != entry.depth + 1)
        return false;
      ++children;
    }
    if (children != entry.num_children) return false;
    if (entry.is_root()) {
      ++num_roots;
      continue;
    }
    if (entry.num_tokens < 1 || (!entry.is_full() && children > 0)) return false;
    if (!entry.is_full()) continue;
    ++num_full;
    if (entry.hash != hash_of(entry.parent, entry.text()) || find_child(entry.parent, entry.text()) != id)
      return false;
  }
  std::size_t num_indexed = 0;
  for (NodeId id : buckets_) {
    for (; id != kNoNode; id = nodes_[id].next_in_bucket) ++num_indexed;
  }
  return num_full == num_indexed && num_roots == roots_.size();
}

}  // namespace mlxd
