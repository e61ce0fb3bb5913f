// Which pages each sequence holds and which prefixes are kept to be shared: the page pools of all layer
// groups and the prefix tree, under one owner (the engine's thread). K/V themselves live in the backend.
//
// - A page is full of one path of tokens for ever: full pages enter the tree as soon as they are computed,
//   generated tokens' pages too, and a page computed twice is kept once. So a sequence always holds the pages
//   of its whole path, and a page in no table has no page after it in one.
// - The last, partly filled page of a prompt and of an ended sequence enters too. Who shares it gets a copy
//   of it (copy-on-write, done at once: it is about to be written), never the page itself.
// - When free pages run out, the least recently used idle pages go, leaves first.
// - In a group with a window, pages behind the window of a sequence are let go as it moves on; they stay in
//   the tree until they are evicted. A hit needs only those that the window still sees.
// - In a group of states (recurrent layers) a sequence holds the page with the state that it goes on from,
//   and in a step the one that it ends in. What it leaves behind stays in the tree where SnapshotPlan wants
//   it. A hit is exactly as long as the state it goes on from: whole pages up to a state, or all of a partial
//   page, which enters at a sequence's end only, as a state moves on where K/V stay.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/backend.h"
#include "engine/page_pool.h"
#include "engine/prefix_tree.h"
#include "engine/state_snapshots.h"
#include "generation/cache_report.h"

namespace mlxd {

class KvCache {
 public:
  struct Options {
    std::vector<PageGroupInfo> groups;
    std::vector<std::int32_t> num_pages;  // by group
    bool share_prefixes = true;
    std::uint64_t hash_mask = ~std::uint64_t{0};  // see PrefixTree
  };
  explicit KvCache(Options options);

  /// A sequence's pages: by group, position p in entry p / kPageTokens; kNoPage behind the window, and where
  /// no state was wanted.
  struct Held {
    std::array<std::vector<PageId>, kMaxLayerGroups> tables;
    PrefixTree::NodeId tip = PrefixTree::kNoNode;            // where its path in the tree ends
    std::int32_t num_known = 0;                              // pages of that path, all full
    std::array<std::int32_t, kMaxLayerGroups> num_behind{};  // entries that are kNoPage, from the first on
    bool is_open = false;
    SnapshotPlan snapshots;
    /// By state group: pages beyond kStatesPerSequence.
    std::array<std::int32_t, kMaxLayerGroups> num_extra_states{};
    bool is_being_written = false;  // see begin_step
  };

  /// What the tree has of a prompt's beginning; valid until the cache changes.
  struct Match {
    PrefixTree::NodeId root = PrefixTree::kNoNode;
    std::vector<PrefixTree::NodeId> path;
    std::int32_t num_known = 0;  // pages that the tree knows, of which path may be the beginning
    std::int32_t num_asked = 0;  // tokens
    PrefixTree::NodeId partial = PrefixTree::kNoNode;  // shared by a copy
    std::int32_t num_tokens = 0;
    /// By group: pages that the sequence would hold without taking any, and pages that are idle now and would
    /// be in use.
    std::array<std::int32_t, kMaxLayerGroups> num_shared{};
    std::array<std::int32_t, kMaxLayerGroups> num_idle{};
  };
  /// At most tokens.size() - 1 tokens match: the last one has to be computed to choose the next.
  /// Nor do more than `most_tokens`. Without `may_copy` only whole pages match.
  Match find(std::span<const TokenId> tokens, std::string_view salt, bool may_copy = true,
             std::int32_t most_tokens = std::numeric_limits<std::int32_t>::max()) const;
  /// Starts a sequence that holds nothing from a match. Returns how many tokens have K/V and states (fewer
  /// than matched if there is no page for a copy).
  std::int32_t open(Held& held, const Match& match, std::string_view salt);
  /// How the prompt met the cache, for people.
  CacheReport explain(std::span<const TokenId> tokens, std::string_view salt, std::uint64_t client) const;

  /// Takes the pages that the first `num_tokens` tokens need beyond those held; false, changing nothing, if
  /// there are too few, free and idle together. States are never the reason while the open sequences of each
  /// state group have kStatesPerSequence pages each and no copies are due.
  bool try_extend(Held& held, std::int32_t num_tokens);
  /// Tells that a step may write a sequence's pages from now on until its tokens are committed: ended before
  /// that, it has no state but those of whole pages.
  void begin_step(Held& held) const { held.is_being_written = true; }
  /// Tells that the first `num_computed` of `tokens`, and no more, are computed: full pages enter the tree,
  /// pages behind a window are let go.
  void commit(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed, std::uint64_t client);
  /// As commit; the last page, partly filled, enters too, if it holds no state. The sequence may go on
  /// writing after it.
  void commit_tail(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed,
                   std::uint64_t client);
  /// Ends a sequence: what it computed stays to be shared, its pages are let go.
  void close(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed, std::uint64_t client);

  /// Copies that must be made, group by group and in order, before the next step; then call copies_done.
  /// Their sources are kept until then.
  std::span<const PageCopy> copies(std::size_t group) const { return copies_[group]; }
  bool has_copies() const;
  void copies_done();

  std::size_t num_groups() const { return groups_.size(); }
  const PagePool& pool(std::size_t group) const { return pools_[group]; }
  /// Free pages and those that would be evicted for a sequence.
  std::int32_t num_available(std::size_t group) const {
    return pools_[group].num_free() + pools_[group].num_idle();
  }
  /// Of these, what sequences that start may take: some are left for states that others share.
  std::int32_t num_available_to_start(std::size_t group) const {
    return num_available(group) - (is_state(group) ? pools_[group].num_pages() / kPartOfSnapshots : 0);
  }
  /// Pages of a group that a sequence of `num_tokens` tokens holds at its most, and that one holds now.
  std::int32_t pages_needed(std::size_t group, std::int64_t num_tokens) const;
  std::int32_t pages_held(const Held& held, std::size_t group) const;
  /// Of the first `num_tokens` tokens of a sequence that is computing them, how many another that begins so
  /// can share then; and asks for a state to be left behind there, if that is still to come.
  std::int32_t num_shareable(const Held& held, std::int32_t num_tokens) const;
  void add_wish(Held& held, std::int32_t num_tokens) const;
  /// The most pages of a group without states that a sequence of this many tokens can ever use at once, its
  /// steps of at most `step_tokens` included.
  static std::int32_t most_pages(const PageGroupInfo& group, std::int64_t num_tokens,
                                 std::int32_t step_tokens);

  /// Adds pages to a group.
  void grow(std::size_t group, std::int32_t num_pages);
  /// Empties a group's end: idle pages are evicted, those in use move to lower ids by copies to be made as
  /// above, and the tables of `holders` (all sequences) are changed. No copies may be due. False, changing
  /// nothing, if more are in use, or promised to sequences that hold states, than would be left. After
  /// copies_done comes finish_shrink.
  bool try_prepare_shrink(std::size_t group, std::int32_t num_pages, std::span<Held* const> holders);
  void finish_shrink(std::size_t group, std::int32_t num_pages);
  /// Forgets everything idle.
  void clear();

  std::uint64_t num_evictions() const { return num_evictions_; }
  /// Prefixes known, page by page.
  std::size_t num_nodes() const { return tree_.size(); }
  Result<void> check_integrity(std::span<const Held* const> holders) const;

 private:
  using NodeId = PrefixTree::NodeId;
  static constexpr NodeId kNoNode = PrefixTree::kNoNode;
  static constexpr std::int32_t kPartOfSnapshots = 8;  // one of so many pages of states

  bool has_window(std::size_t group) const { return groups_[group].window_tokens > 0; }
  bool is_state(std::size_t group) const { return groups_[group].is_state; }
  /// First page that a token at `position` sees.
  std::int32_t first_seen(std::size_t group, std::int64_t position) const;
  void add_partial(Match& match, std::span<const TokenId> tokens) const;
  void shorten(Match& match) const;
  void count_pages(Match& match) const;
  bool is_usable(const Match& match) const;
  void take_partial(Held& held, const Match& match);
  void extend_states(Held& held, std::size_t group, std::int32_t num_pages);
  void count_extra_states(Held& held);
  void move_tip(Held& held, NodeId tip);
  void enter_page(Held& held, std::span<const TokenId> tokens, std::uint64_t client);
  void merge_into(Held& held, std::int32_t index, NodeId node);
  void let_go_behind(Held& held, std::int32_t num_computed);
  bool is_kept(const Held& held, std::size_t group, std::int32_t index) const;
  void enter_end(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed, bool is_exact,
                 std::uint64_t client);

  void retain(std::size_t group, PageId page);
  void release(std::size_t group, PageId page);
  bool try_take(std::size_t group, std::int32_t count, std::vector<PageId>& pages);
  bool evict_one(std::size_t group);
  void give_up(NodeId node, std::size_t group);
  void attach(NodeId node, std::size_t group, PageId page);
  void detach(NodeId node, std::size_t group);
  void forget(NodeId node);
  void remove_if_empty(NodeId node);
  void add_evictable(NodeId node, std::size_t group);
  void drop_evictable(NodeId node, std::size_t group);
  void forget_idle_from(std::size_t group, std::int32_t limit);
  Result<void> check_path(const Held& held) const;

  std::vector<PageGroupInfo> groups_;
  bool share_prefixes_;
  std::size_t node_group_ = 0;  // a full-attention group if there is one, or else one with K/V
  bool has_full_group_ = false;
  bool has_states_ = false;
  std::int32_t snapshot_distance_ = 1;
  std::vector<PagePool> pools_;
  PrefixTree tree_;
  std::vector<std::vector<NodeId>> node_of_;  // by group and page; kNoNode: not in the tree
  /// By group, least recently used first; of equal ones in full groups the deepest, in windows the
  /// shallowest.
  using Evictable = std::tuple<std::uint64_t, std::int32_t, NodeId>;
  std::vector<std::set<Evictable>> evictable_;
  std::array<std::vector<PageCopy>, kMaxLayerGroups> copies_;
  std::int32_t num_open_ = 0;                                     // sequences
  std::array<std::int32_t, kMaxLayerGroups> num_extra_states_{};  // of all sequences
  std::vector<PageId> taken_;
  std::uint64_t now_ = 0;  // counts openings and closings
  std::uint64_t num_evictions_ = 0;
};

}  // namespace mlxd
