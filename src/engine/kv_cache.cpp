#include "engine/kv_cache.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace mlxd {
namespace {

std::span<const TokenId> page_of(std::span<const TokenId> tokens, std::int32_t index) {
  return tokens.subspan(static_cast<std::size_t>(index) * kPageTokens, kPageTokens);
}

}  // namespace

KvCache::KvCache(Options options)
    : groups_(std::move(options.groups)),
      share_prefixes_(options.share_prefixes),
      tree_(static_cast<std::size_t>(*std::max_element(options.num_pages.begin(), options.num_pages.end())),
            options.hash_mask),
      evictable_(groups_.size()) {
  CHECK(!groups_.empty() && groups_.size() <= kMaxLayerGroups && options.num_pages.size() == groups_.size());
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    pools_.emplace_back(options.num_pages[g]);
    node_of_.emplace_back(static_cast<std::size_t>(options.num_pages[g]), kNoNode);
    CHECK(!is_state(g) || groups_[g].window_tokens == 2);
    has_states_ = has_states_ || is_state(g);
    if (!has_window(g) && !has_full_group_) {
      has_full_group_ = true;
      node_group_ = g;
    }
  }
  snapshot_distance_ = mlxd::snapshot_distance(groups_);
  while (!has_full_group_ && is_state(node_group_) && node_group_ + 1 < groups_.size()) ++node_group_;
}

std::int32_t KvCache::first_seen(std::size_t group, std::int64_t position) const {
  if (!has_window(group)) return 0;
  return static_cast<std::int32_t>(std::max<std::int64_t>(0, position - groups_[group].window_tokens + 1) /
                                   kPageTokens);
}

std::int32_t KvCache::pages_needed(std::size_t group, std::int64_t num_tokens) const {
  if (is_state(group)) return kStatesPerSequence;
  return pages_for_tokens(num_tokens) - first_seen(group, num_tokens);
}

std::int32_t KvCache::pages_held(const Held& held, std::size_t group) const {
  const std::vector<PageId>& table = held.tables[group];
  if (!is_state(group)) return static_cast<std::int32_t>(table.size()) - held.num_behind[group];
  return static_cast<std::int32_t>(std::count_if(table.begin() + held.num_behind[group], table.end(),
                                                 [](PageId p) { return p != kNoPage; }));
}

std::int32_t KvCache::num_shareable(const Held& held, std::int32_t num_tokens) const {
  if (!has_states_) return num_tokens;
  const std::int32_t boundary = num_tokens / kPageTokens;
  const bool is_ahead = boundary >= std::ssize(held.tables[0]);
  return (is_ahead ? boundary : held.snapshots.last_wanted(boundary)) * kPageTokens;
}

void KvCache::add_wish(Held& held, std::int32_t num_tokens) const {
  if (has_states_ && num_tokens / kPageTokens >= std::ssize(held.tables[0]))
    held.snapshots.add_wish(num_tokens / kPageTokens);
}

std::int32_t KvCache::most_pages(const PageGroupInfo& group, std::int64_t num_tokens,
                                 std::int32_t step_tokens) {
  const std::int32_t all = pages_for_tokens(num_tokens);
  if (group.window_tokens == 0) return all;
  // The window behind a step's first token, the step itself, and a page cut at either end.
  return std::min(all, pages_for_tokens(std::int64_t{group.window_tokens} + step_tokens) + 1);
}

KvCache::Match KvCache::find(std::span<const TokenId> tokens, std::string_view salt, bool may_copy,
                             std::int32_t most_tokens) const {
  Match match;
  match.num_asked = static_cast<std::int32_t>(tokens.size());
  const NodeId root = match.root = share_prefixes_ ? tree_.find_root(salt) : kNoNode;
  if (root == kNoNode || tokens.empty()) return match;
  const auto limit = static_cast<std::int32_t>(tokens.size()) - 1;
  NodeId last = root;
  while ((std::ssize(match.path) + 1) * kPageTokens <= limit) {
    const NodeId child =
        tree_.find_child(last, page_of(tokens, static_cast<std::int32_t>(match.path.size())));
    if (child == kNoNode) break;
    match.path.push_back(child);
    last = child;
  }
  match.num_known = static_cast<std::int32_t>(match.path.size());
  match.path.resize(std::min(match.path.size(), static_cast<std::size_t>(most_tokens / kPageTokens)));
  match.num_tokens = static_cast<std::int32_t>(match.path.size()) * kPageTokens;
  tokens = tokens.first(std::min(tokens.size(), static_cast<std::size_t>(most_tokens) + 1));
  if (may_copy) add_partial(match, tokens);
  // What a window still sees must be there; else a shorter beginning may do.
  while (!is_usable(match)) {
    const bool had_partial = match.partial != kNoNode;
    shorten(match);
    // The end of some sequence's states may hang there.
    if (may_copy && has_states_ && !had_partial) add_partial(match, tokens);
  }
  count_pages(match);
  return match;
}

// Adds what the tree has of a page after the match's whole ones.
void KvCache::add_partial(Match& match, std::span<const TokenId> tokens) const {
  const std::int32_t left = static_cast<std::int32_t>(tokens.size()) - 1 - match.num_tokens;
  if (left <= 0) return;
  const NodeId last = match.path.empty() ? match.root : match.path.back();
  const auto rest = tokens.subspan(static_cast<std::size_t>(match.num_tokens),
                                   static_cast<std::size_t>(std::min(left, kPageTokens)));
  // A state is that after all of its node's tokens.
  const PrefixTree::Common closest =
      has_states_ ? tree_.longest_contained(last, rest) : tree_.closest_child(last, rest);
  if (closest.num_tokens == 0) return;
  match.partial = closest.node;
  match.num_tokens += closest.num_tokens;
}

void KvCache::shorten(Match& match) const {
  if (match.partial != kNoNode)
    match.partial = kNoNode;
  else
    match.path.pop_back();
  match.num_tokens = static_cast<std::int32_t>(match.path.size()) * kPageTokens;
}

void KvCache::count_pages(Match& match) const {
  match.num_shared.fill(0);
  match.num_idle.fill(0);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (auto i = static_cast<std::size_t>(first_seen(g, match.num_tokens)); i < match.path.size(); ++i) {
      if (pools_[g].is_idle(tree_.node(match.path[i]).pages[g])) ++match.num_idle[g];
    }
    match.num_shared[g] =
        static_cast<std::int32_t>(match.path.size()) -
        std::min(first_seen(g, match.num_tokens), static_cast<std::int32_t>(match.path.size()));
    if (match.partial != kNoNode && pools_[g].is_idle(tree_.node(match.partial).pages[g]))
      ++match.num_idle[g];
  }
}

bool KvCache::is_usable(const Match& match) const {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (!has_window(g)) continue;  // each node has a page of it
    for (auto i = static_cast<std::size_t>(first_seen(g, match.num_tokens)); i < match.path.size(); ++i) {
      if (tree_.node(match.path[i]).pages[g] == kNoPage) return false;
    }
    if (match.partial != kNoNode && tree_.node(match.partial).pages[g] == kNoPage) return false;
  }
  return true;
}

std::int32_t KvCache::open(Held& held, const Match& found, std::string_view salt) {
  CHECK(!held.is_open && held.tip == kNoNode && held.tables[0].empty());
  held.is_open = true;
  ++num_open_;
  held.snapshots = SnapshotPlan(snapshot_distance_, found.num_asked, found.num_known);
  if (!share_prefixes_) return 0;
  ++now_;
  Match match = found;
  const auto has_room = [&] {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (num_available(g) <= match.num_idle[g]) return false;
    }
    return true;
  };
  if (match.partial != kNoNode && !has_room()) {
    shorten(match);
    while (!is_usable(match)) shorten(match);
  }
  move_tip(held, match.path.empty() ? tree_.ensure_root(salt) : match.path.back());
  held.num_known = static_cast<std::int32_t>(match.path.size());
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const std::int32_t seen = std::min(first_seen(g, match.num_tokens), held.num_known);
    held.num_behind[g] = seen;
    held.tables[g].assign(static_cast<std::size_t>(seen), kNoPage);
    for (auto i = static_cast<std::size_t>(seen); i < match.path.size(); ++i) {
      const PageId page = tree_.node(match.path[i]).pages[g];
      retain(g, page);
      held.tables[g].push_back(page);
    }
  }
  if (match.partial != kNoNode) take_partial(held, match);
  return match.num_tokens;
}

// Gives the sequence a copy of the partial page of a match, for which there is room.
void KvCache::take_partial(Held& held, const Match& match) {
  // Copied before the next step: until then the sources may not be evicted, not even for their own copies.
  const std::array<PageId, kMaxLayerGroups> sources = tree_.node(match.partial).pages;
  for (std::size_t g = 0; g < groups_.size(); ++g) retain(g, sources[g]);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    CHECK(try_take(g, 1, held.tables[g]));
    copies_[g].push_back({sources[g], held.tables[g].back()});
  }
}

bool KvCache::has_copies() const {
  return std::any_of(copies_.begin(), copies_.end(), [](const auto& list) { return !list.empty(); });
}

void KvCache::copies_done() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (const PageCopy& copy : copies_[g]) release(g, copy.from);
    copies_[g].clear();
  }
}

CacheReport KvCache::explain(std::span<const TokenId> tokens, std::string_view salt,
                             std::uint64_t client) const {
  CacheReport report;
  report.explained = true;
  const NodeId root = share_prefixes_ ? tree_.find_root(salt) : kNoNode;
  if (root == kNoNode) return report;
  NodeId last = root;
  std::int32_t position = 0;
  const auto size = static_cast<std::int32_t>(tokens.size());
  while (position + kPageTokens <= size) {
    const NodeId child =
        tree_.find_child(last, tokens.subspan(static_cast<std::size_t>(position), kPageTokens));
    if (child == kNoNode) break;
    last = child;
    position += kPageTokens;
  }
  const PrefixTree::Common closest = tree_.closest_child(
      last, tokens.subspan(static_cast<std::size_t>(position),
                           static_cast<std::size_t>(std::min(size - position, kPageTokens))));
  report.position = position + closest.num_tokens;
  if (report.position == size) {
    report.outcome = CacheOutcome::kWhole;
    return report;
  }
  const bool continues = closest.node != kNoNode && closest.num_tokens < tree_.node(closest.node).num_tokens;
  if (report.position == 0) return report;
  report.outcome = continues ? CacheOutcome::kDiverged : CacheOutcome::kEnded;
  if (!continues) return report;
  const PrefixTree::Node& other = tree_.node(closest.node);
  report.same_client = other.client == client;
  if (report.same_client) {
    const auto rest = other.text().subspan(static_cast<std::size_t>(closest.num_tokens));
    report.cached_continuation.assign(rest.begin(), rest.end());
  }
  return report;
}

bool KvCache::try_extend(Held& held, std::int32_t num_tokens) {
  const std::int32_t wanted = pages_for_tokens(num_tokens);
  const auto missing = [&](std::size_t g) {
    const std::vector<PageId>& table = held.tables[g];
    if (!is_state(g)) return std::max(0, wanted - static_cast<std::int32_t>(table.size()));
    const bool has_last = wanted == 0 || (wanted <= std::ssize(table) &&
                                          table[static_cast<std::size_t>(wanted) - 1] != kNoPage);
    return has_last ? 0 : 1;
  };
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (missing(g) > num_available(g)) return false;
  }
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const std::int32_t count = missing(g);
    if (count == 0) continue;
    if (is_state(g))
      extend_states(held, g, wanted);
    else
      CHECK(try_take(g, count, held.tables[g]));
  }
  return true;
}

// Takes a page for the state after the last of `num_pages` pages, and as far as they are to be had pages for
// states to be left behind before it. Those of later positions first: they save the most.
void KvCache::extend_states(Held& held, std::size_t group, std::int32_t num_pages) {
  std::vector<PageId>& table = held.tables[group];
  const auto first = static_cast<std::int32_t>(table.size());
  if (first < num_pages) table.resize(static_cast<std::size_t>(num_pages), kNoPage);
  const auto take = [&](std::int32_t entry) {
    taken_.clear();
    CHECK(try_take(group, 1, taken_));
    table[static_cast<std::size_t>(entry)] = taken_.front();
  };
  take(num_pages - 1);
  count_extra_states(held);
  const auto has_room = [&] {
    // Never of what running sequences, or copies, are sure of.
    const std::int64_t promised =
        std::int64_t{kStatesPerSequence} * num_open_ + num_extra_states_[group] + std::ssize(copies_[group]);
    return share_prefixes_ && promised < pools_[group].num_pages() && num_available(group) > 0;
  };
  for (std::int32_t entry = num_pages - 2; entry >= first && has_room(); --entry) {
    if (!held.snapshots.wants(entry + 1)) continue;
    take(entry);
    count_extra_states(held);
  }
}

void KvCache::count_extra_states(Held& held) {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (!is_state(g)) continue;
    const std::int32_t extra = std::max(0, pages_held(held, g) - kStatesPerSequence);
    num_extra_states_[g] += extra - std::exchange(held.num_extra_states[g], extra);
  }
}

void KvCache::commit(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed,
                     std::uint64_t client) {
  while (held.tip != kNoNode && (held.num_known + 1) * kPageTokens <= num_computed)
    enter_page(held, page_of(tokens, held.num_known), client);
  let_go_behind(held, num_computed);
  count_extra_states(held);
  held.is_being_written = false;
}

// Makes the first page that the tree does not know, a full one, known to it.
void KvCache::enter_page(Held& held, std::span<const TokenId> tokens, std::uint64_t client) {
  const std::int32_t index = held.num_known;
  NodeId node = tree_.find_child(held.tip, tokens);
  if (node != kNoNode) {
    merge_into(held, index, node);
  } else {
    // With states there are no partial pages of sequences that go on.
    const PageId page = held.tables[node_group_][static_cast<std::size_t>(index)];
    const NodeId partial = has_states_ ? kNoNode : node_of_[node_group_][page];
    if (partial == kNoNode) {
      node = tree_.add_child(held.tip, tokens);
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        const PageId mine = held.tables[g][static_cast<std::size_t>(index)];
        if (is_kept(held, g, index)) attach(node, g, mine);
      }
    } else {
      node = partial;
      tree_.extend(node, tokens);
    }
    tree_.node(node).client = client;
  }
  move_tip(held, node);
  ++held.num_known;
}

// The page is in the tree already: what the tree has is used, what the sequence computed is given back (or to
// the tree, where it has nothing any more).
void KvCache::merge_into(Held& held, std::int32_t index, NodeId node) {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    PageId& mine = held.tables[g][static_cast<std::size_t>(index)];
    if (mine == kNoPage) continue;
    // Its beginning may be in the tree as a partial page.
    if (const NodeId partial = node_of_[g][mine]; partial != kNoNode && partial != node) forget(partial);
    const PageId theirs = tree_.node(node).pages[g];
    if (theirs == kNoPage) {
      if (is_kept(held, g, index)) attach(node, g, mine);
    } else if (theirs != mine) {
      retain(g, theirs);
      release(g, mine);
      mine = theirs;
    }
  }
}

// Whether a full page of a sequence is to enter the tree.
bool KvCache::is_kept(const Held& held, std::size_t group, std::int32_t index) const {
  if (!is_state(group)) return true;
  return held.tables[group][static_cast<std::size_t>(index)] != kNoPage && held.snapshots.wants(index + 1);
}

void KvCache::let_go_behind(Held& held, std::int32_t num_computed) {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    // The next token to compute is the one at num_computed.
    const std::int32_t seen =
        std::min(first_seen(g, num_computed), static_cast<std::int32_t>(held.tables[g].size()));
    for (std::int32_t& i = held.num_behind[g]; i < seen; ++i) {
      PageId& page = held.tables[g][static_cast<std::size_t>(i)];
      if (page != kNoPage) release(g, page);
      page = kNoPage;
    }
  }
}

void KvCache::commit_tail(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed,
                          std::uint64_t client) {
  commit(held, tokens, num_computed, client);
  const std::int32_t rest = num_computed % kPageTokens;
  if (has_states_ || held.tip == kNoNode || rest == 0 || held.num_known != num_computed / kPageTokens) return;
  const auto index = static_cast<std::size_t>(held.num_known);
  const auto tail = tokens.subspan(index * kPageTokens, static_cast<std::size_t>(rest));
  if (const NodeId known = node_of_[node_group_][held.tables[node_group_][index]]; known != kNoNode) {
    if (tree_.node(known).num_tokens < rest) tree_.extend(known, tail);
    return;
  }
  const PrefixTree::Common closest = tree_.closest_child(held.tip, tail);
  if (closest.num_tokens == rest) return;
  if (closest.num_tokens > 0) {
    // A shorter one that this continues is of no more use.
    const PrefixTree::Node& shorter = tree_.node(closest.node);
    const PageId page = shorter.pages[node_group_];
    const bool in_use = page != kNoPage && !pools_[node_group_].is_idle(page);
    if (shorter.num_tokens == closest.num_tokens && !shorter.is_full() && !in_use) forget(closest.node);
  }
  const NodeId node = tree_.add_child(held.tip, tail);
  tree_.node(node).client = client;
  for (std::size_t g = 0; g < groups_.size(); ++g) attach(node, g, held.tables[g][index]);
}

void KvCache::close(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed,
                    std::uint64_t client) {
  const bool has_end = !held.is_being_written;
  commit_tail(held, tokens, num_computed, client);
  if (has_states_) enter_end(held, tokens, num_computed, has_end, client);
  ++now_;
  // Last page first, so that the pool hands out a sequence's pages again in their old order.
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    for (auto page = held.tables[g].rbegin(); page != held.tables[g].rend(); ++page) {
      if (*page != kNoPage) release(g, *page);
    }
    held.tables[g].clear();
    held.num_behind[g] = 0;
  }
  count_extra_states(held);
  move_tip(held, kNoNode);
  held.num_known = 0;
  if (std::exchange(held.is_open, false)) --num_open_;
}

// Makes the states in which a sequence ends known to the tree, with K/V of its last page. A step that was not
// seen to its end may have written the state of a partial page, never that of a full one.
void KvCache::enter_end(Held& held, std::span<const TokenId> tokens, std::int32_t num_computed, bool is_exact,
                        std::uint64_t client) {
  const std::int32_t rest = num_computed % kPageTokens;
  if (held.tip == kNoNode || num_computed == 0 || held.num_known != num_computed / kPageTokens) return;
  if (rest > 0 && !is_exact) return;
  const std::int32_t index = held.num_known - (rest == 0 ? 1 : 0);
  NodeId node = held.tip;
  if (rest > 0) {
    const auto tail =
        tokens.subspan(static_cast<std::size_t>(index) * kPageTokens, static_cast<std::size_t>(rest));
    const PrefixTree::Common longest = tree_.longest_contained(held.tip, tail);
    node = longest.num_tokens == rest ? longest.node : tree_.add_child(held.tip, tail);
    tree_.node(node).client = client;
  }
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const PageId page = held.tables[g][static_cast<std::size_t>(index)];
    if (tree_.node(node).pages[g] == kNoPage && page != kNoPage && !pools_[g].is_cached(page))
      attach(node, g, page);
  }
}

void KvCache::move_tip(Held& held, NodeId tip) {
  const NodeId before = std::exchange(held.tip, tip);
  if (tip != kNoNode) ++tree_.node(tip).num_users;
  if (before == kNoNode) return;
  --tree_.node(before).num_users;
  remove_if_empty(before);
}

void KvCache::retain(std::size_t group, PageId page) {
  if (pools_[group].is_idle(page)) drop_evictable(node_of_[group][page], group);
  pools_[group].retain(page);
}

void KvCache::release(std::size_t group, PageId page) {
  pools_[group].release(page);
  if (!pools_[group].is_idle(page)) return;
  const NodeId node = node_of_[group][page];
  tree_.node(node).last_used[group] = now_;
  add_evictable(node, group);
}

bool KvCache::try_take(std::size_t group, std::int32_t count, std::vector<PageId>& pages) {
  if (count > num_available(group)) return false;
  while (pools_[group].num_free() < count) {
    if (!evict_one(group)) return false;
  }
  return pools_[group].try_take(count, pages);
}

bool KvCache::evict_one(std::size_t group) {
  if (evictable_[group].empty()) return false;
  const NodeId node = std::get<NodeId>(*evictable_[group].begin());
  ++num_evictions_;
  give_up(node, group);
  return true;
}

// Takes an idle page out of the tree: one of a leaf, if the group has no window. A partial page is of no use
// without its state.
void KvCache::give_up(NodeId node, std::size_t group) {
  if (!has_window(group) || (is_state(group) && !tree_.node(node).is_full())) {
    forget(node);
  } else {
    detach(node, group);
    remove_if_empty(node);
  }
}

void KvCache::attach(NodeId node, std::size_t group, PageId page) {
  pools_[group].set_cached(page);
  node_of_[group][page] = node;
  tree_.node(node).pages[group] = page;
}

// Takes a page out of the tree; idle, it is free then.
void KvCache::detach(NodeId node, std::size_t group) {
  const PageId page = std::exchange(tree_.node(node).pages[group], kNoPage);
  if (page == kNoPage) return;
  if (pools_[group].is_idle(page)) drop_evictable(node, group);
  node_of_[group][page] = kNoNode;
  pools_[group].clear_cached(page);
}

// Takes a leaf out of the tree.
void KvCache::forget(NodeId node) {
  for (std::size_t g = 0; g < groups_.size(); ++g) detach(node, g);
  remove_if_empty(node);
}

// A leaf without pages, or a root without children, that no sequence stands on is of no use; nor may its
// parent be.
void KvCache::remove_if_empty(NodeId id) {
  while (true) {
    const PrefixTree::Node& node = tree_.node(id);
    const bool has_pages =
        std::any_of(node.pages.begin(), node.pages.end(), [](PageId p) { return p != kNoPage; });
    if (node.num_children > 0 || node.num_users > 0 || has_pages) return;
    const NodeId parent = node.parent;
    tree_.remove(id);
    if (parent == kNoNode) return;
    // A parent that has become a leaf can go too.
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const PageId page = tree_.node(parent).pages[g];
      if (!has_window(g) && page != kNoPage && pools_[g].is_idle(page)) add_evictable(parent, g);
    }
    id = parent;
  }
}

void KvCache::add_evictable(NodeId id, std::size_t group) {
  const PrefixTree::Node& node = tree_.node(id);
  if (has_window(group))
    evictable_[group].emplace(node.last_used[group], node.depth, id);
  else if (node.num_children == 0)
    evictable_[group].emplace(node.last_used[group], -node.depth, id);
}

void KvCache::drop_evictable(NodeId id, std::size_t group) {
  const PrefixTree::Node& node = tree_.node(id);
  evictable_[group].erase({node.last_used[group], has_window(group) ? node.depth : -node.depth, id});
}

void KvCache::grow(std::size_t group, std::int32_t num_pages) {
  CHECK(num_pages >= pools_[group].num_pages());
  pools_[group].resize(num_pages);
  node_of_[group].resize(static_cast<std::size_t>(num_pages), kNoNode);
}

bool KvCache::try_prepare_shrink(std::size_t group, std::int32_t num_pages, std::span<Held* const> holders) {
  PagePool& pool = pools_[group];
  CHECK(!has_copies());
  if (pool.num_used() > num_pages) return false;
  if (is_state(group) && std::int64_t{kStatesPerSequence} * num_open_ > num_pages) return false;
  forget_idle_from(group, num_pages);
  for (auto page = static_cast<PageId>(num_pages); page < static_cast<PageId>(pool.num_pages()); ++page) {
    const std::int32_t references = pool.references(page);
    if (references == 0) continue;
    PageId target = pool.try_take_below(num_pages);
    while (target == kNoPage) {
      CHECK(evict_one(group));
      target = pool.try_take_below(num_pages);
    }
    for (std::int32_t i = 1; i < references; ++i) {
      pool.retain(target);
      pool.release(page);
    }
    if (const NodeId node = node_of_[group][page]; node != kNoNode) {
      detach(node, group);
      attach(node, group, target);
    }
    for (Held* const held : holders)
      std::replace(held->tables[group].begin(), held->tables[group].end(), page, target);
    copies_[group].push_back({page, target});  // keeps the page's last reference
  }
  return true;
}

void KvCache::finish_shrink(std::size_t group, std::int32_t num_pages) {
  pools_[group].resize(num_pages);
  node_of_[group].resize(static_cast<std::size_t>(num_pages));
}

// Evicts what is idle at page `limit` or above, with all that follows it.
void KvCache::forget_idle_from(std::size_t group, std::int32_t limit) {
  for (auto page = static_cast<PageId>(limit); page < static_cast<PageId>(pools_[group].num_pages());
       ++page) {
    if (!pools_[group].is_idle(page)) continue;
    const NodeId node = node_of_[group][page];
    if (has_window(group)) {
      give_up(node, group);
      continue;
    }
    NodeId leaf = kNoNode;
    while (leaf != node) {
      leaf = node;
      while (tree_.node(leaf).first_child != kNoNode) leaf = tree_.node(leaf).first_child;
      forget(leaf);
    }
  }
}

void KvCache::clear() {
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    while (evict_one(g)) {
    }
  }
}

Result<void> KvCache::check_integrity(std::span<const Held* const> holders) const {
  const auto wrong = [](const std::string& what) { return Error(ErrorKind::kInternal, what); };
  if (!tree_.is_intact()) return wrong("the prefix tree's links do not agree");
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const PagePool& pool = pools_[g];
    std::vector<std::int32_t> counts(static_cast<std::size_t>(pool.num_pages()), 0);
    for (const PageCopy& copy : copies_[g]) ++counts[copy.from];
    for (const Held* const held : holders) {
      for (const PageId page : held->tables[g]) {
        if (page != kNoPage) ++counts[page];
      }
    }
    TRY(pool.check_integrity(counts));
    std::size_t num_evictable = 0;
    for (PageId page = 0; page < static_cast<PageId>(pool.num_pages()); ++page) {
      const NodeId id = node_of_[g][page];
      if (pool.is_cached(page) != (id != kNoNode) || (id != kNoNode && tree_.node(id).pages[g] != page))
        return wrong("page " + std::to_string(page) + " and its node do not agree");
      if (!pool.is_idle(page)) continue;
      const PrefixTree::Node& node = tree_.node(id);
      const bool expected = has_window(g) || node.num_children == 0;
      const std::int32_t order = has_window(g) ? node.depth : -node.depth;
      if (evictable_[g].contains({node.last_used[g], order, id}) != expected)
        return wrong("page " + std::to_string(page) + " is idle and out of order");
      num_evictable += expected ? 1 : 0;
      if (has_window(g)) continue;
      for (PrefixTree::NodeId child = node.first_child; child != kNoNode;
           child = tree_.node(child).next_sibling) {
        if (!pool.is_idle(tree_.node(child).pages[g]))
          return wrong("page " + std::to_string(page) + " is idle before one in use");
      }
    }
    if (num_evictable != evictable_[g].size()) return wrong("pages that are in use can be evicted");
  }
  for (const Held* const held : holders) TRY(check_path(*held));
  return {};
}

// Whether a sequence holds the pages of its own path in the tree.
Result<void> KvCache::check_path(const Held& held) const {
  NodeId id = held.tip;
  if (id == kNoNode) return {};
  for (std::int32_t i = held.num_known - 1; i >= 0; --i) {
    const PrefixTree::Node& node = tree_.node(id);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const PageId page = held.tables[g][static_cast<std::size_t>(i)];
      // A state that was not wanted is held, but not known.
      const bool is_known = page != kNoPage && (!is_state(g) || pools_[g].is_cached(page));
      if (is_known && page != node.pages[g])
        return Error(ErrorKind::kInternal, "a sequence holds another page than its path in the prefix tree");
    }
    id = node.parent;
  }
  if (id == kNoNode || !tree_.node(id).is_root())
    return Error(ErrorKind::kInternal, "a sequence's path does not begin at a root");
  return {};
}

}  // namespace mlxd
