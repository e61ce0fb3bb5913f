// What cached pages hold, as a tree: a node is up to a page's worth of tokens that follow its parent's, so a
// path from a root spells a prompt's beginning. Full nodes are found by a chained hash of all tokens up to
// their end, and a hit compares the tokens themselves, so that a collision cannot serve another prompt's
// pages. Partial nodes (less than a page) are leaves and found by comparing. Roots are kept apart by a salt:
// nothing is shared between different ones. Knows nothing of memory; see KvCache. One owner.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/step_batch.h"
#include "generation/token.h"

namespace mlxd {

class PrefixTree {
 public:
  using NodeId = std::uint32_t;
  static constexpr NodeId kNoNode = 0xFFFFFFFFU;

  struct Node {
    NodeId parent = kNoNode;  // kNoNode: a root, or unused
    std::int32_t depth = 0;   // in pages; a root has 0
    std::int32_t num_tokens = 0;
    std::array<TokenId, kPageTokens> tokens{};
    std::array<PageId, kMaxLayerGroups> pages{};  // by layer group; kNoPage: none
    std::array<std::uint64_t, kMaxLayerGroups> last_used{};
    std::uint64_t client = 0;    // whose request brought it
    std::int32_t num_users = 0;  // sequences whose own path ends here
    std::int32_t num_children = 0;
    std::uint64_t hash = 0;
    // Siblings, the one added last first.
    NodeId first_child = kNoNode;
    NodeId next_sibling = kNoNode;
    NodeId previous_sibling = kNoNode;
    NodeId next_in_bucket = kNoNode;

    bool is_full() const { return num_tokens == kPageTokens; }
    bool is_root() const { return depth == 0; }
    std::span<const TokenId> text() const {
      return std::span(tokens).first(static_cast<std::size_t>(num_tokens));
    }
  };

  /// Up to `capacity` nodes are added without allocating. `hash_mask` keeps only some bits of the hashes:
  /// tests make collisions with it.
  explicit PrefixTree(std::size_t capacity, std::uint64_t hash_mask = ~std::uint64_t{0});

  Node& node(NodeId id) { return nodes_[id]; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  /// Nodes that are not roots.
  std::size_t size() const { return nodes_.size() - free_.size() - roots_.size(); }

  /// The root of a salt, made if there is none.
  NodeId ensure_root(std::string_view salt);
  /// kNoNode if nothing is cached under the salt.
  NodeId find_root(std::string_view salt) const;

  /// The full child with these kPageTokens tokens, or kNoNode.
  NodeId find_child(NodeId parent, std::span<const TokenId> tokens) const;
  struct Common {
    NodeId node = kNoNode;
    std::int32_t num_tokens = 0;
  };
  /// Among the newest children, full or partial, the one that begins most like `tokens`; the newest one with
  /// 0 tokens if none does; kNoNode if there are no children.
  Common closest_child(NodeId parent, std::span<const TokenId> tokens) const;

  /// Among the newest partial children, the longest that `tokens` begin with; kNoNode if none does.
  Common longest_contained(NodeId parent, std::span<const TokenId> tokens) const;

  /// Adds a child, full or partial, without pages; not a full one that is there already.
  NodeId add_child(NodeId parent, std::span<const TokenId> tokens);
  /// Makes a partial node longer, up to full; `tokens` begin with those it has.
  void extend(NodeId id, std::span<const TokenId> tokens);
  /// Takes out a node without children.
  void remove(NodeId id);

  /// Whether links, counts and the hash index agree.
  bool is_intact() const;

 private:
  std::uint64_t hash_of(NodeId parent, std::span<const TokenId> tokens) const;
  std::size_t bucket_of(std::uint64_t hash) const { return (hash & hash_mask_) & (buckets_.size() - 1); }
  void enter_index(NodeId id);
  void leave_index(NodeId id);
  NodeId take_node();
  void link(NodeId parent, NodeId child);
  void unlink(NodeId child);

  std::uint64_t hash_mask_;
  std::vector<Node> nodes_;
  std::vector<NodeId> free_;
  std::vector<NodeId> buckets_;  // full nodes by chained hash; a power of two
  std::map<std::string, NodeId, std::less<>> roots_;
};

}  // namespace mlxd
