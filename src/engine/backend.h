// The device under the engine, at the level of a whole step: never op by op. A backend owns weights, K/V
// memory and scratch. One thread (the engine's) calls it, but for prepare_adapter. Loading is each backend's
// own factory function.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/step_batch.h"

namespace mlxd {

class Adapter;

/// Pages of one layer group; each group numbers its own from 0.
struct PageGroupInfo {
  std::size_t page_bytes = 0;  // K/V, or states, of one page over all layers of the group
  /// A token attends to this many last positions, its own included; 0: to all. Pages wholly behind every
  /// token of a step may be kNoPage in its page tables.
  std::int32_t window_tokens = 0;
  /// The layers are recurrent: a page holds no position's K/V but the layers' state after the last position
  /// computed in it. A step's sequence goes on from the state in the entry of the position before its first
  /// (from zeros at position 0), and leaves in the entry of each page that it ends or ends in the state after
  /// its last position there, unless that entry is kNoPage. The entry of its last position may not be, nor
  /// the one it goes on from; all others may. Both may be the same. window_tokens is 2 then: what comes
  /// before the last position's state is not read.
  bool is_state = false;
};

struct BackendInfo {
  std::string name;  // "cpu (avx512-vnni, 2 threads)"
  std::int32_t vocab_size = 0;
  std::int32_t max_batch_tokens = 0;      // most tokens in a step
  std::int32_t max_batch_sequences = 0;   // most sequences in a step
  std::int32_t num_sliceable_layers = 0;  // at whose bounds a step may be cut (LayerSlice); 0: it may not
  /// A piece of a prompt takes as long as if it had so many tokens more, about: weights and keys are fetched
  /// and unpacked for each anew.
  std::int32_t piece_tokens = 4;
  std::size_t adapter_scratch_bytes = 0;   // that it takes once an adapter is attached, about
  std::vector<PageGroupInfo> page_groups;  // as in ModelSpec::layer_groups; at most kMaxLayerGroups

  /// A step cannot be taken back to an earlier position: no drafts.
  bool has_state() const {
    return std::any_of(page_groups.begin(), page_groups.end(),
                       [](const PageGroupInfo& group) { return group.is_state; });
  }
  /// K/V bytes of 32 positions over all groups.
  std::size_t page_bytes() const {
    std::size_t bytes = 0;
    for (const PageGroupInfo& group : page_groups) bytes += group.page_bytes;
    return bytes;
  }
};

struct BackendMemory {
  std::size_t weight_bytes = 0;
  std::size_t page_bytes = 0;  // allocated for K/V
  std::size_t scratch_bytes = 0;
  std::size_t adapter_bytes = 0;  // attached ones, and the scratch that they need

  friend BackendMemory operator+(const BackendMemory& a, const BackendMemory& b) {
    return {a.weight_bytes + b.weight_bytes, a.page_bytes + b.page_bytes, a.scratch_bytes + b.scratch_bytes,
            a.adapter_bytes + b.adapter_bytes};
  }
};

struct PageCopy {
  PageId from = 0;
  PageId to = 0;
};

/// What a backend has made of an adapter; constant.
class PreparedAdapter {
 public:
  virtual ~PreparedAdapter() = default;
  virtual std::size_t memory_bytes() const = 0;
};
using PreparedAdapterPtr = std::shared_ptr<const PreparedAdapter>;

class Backend {
 public:
  /// Names a submitted step; collected in order of submission.
  using StepHandle = std::uint64_t;

  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;
  virtual BackendMemory memory() const = 0;

  /// Makes the group's pages [0, num_pages) usable, and no others: contents of those that stay are kept,
  /// memory of those that go returns to the system (as far as its allocation unit allows). Not while a step
  /// is outstanding. Errors: kOutOfMemory, which changes nothing.
  virtual Result<void> resize_pages(std::size_t group, std::int32_t num_pages) = 0;
  /// Copies whole pages of a group (all its layers), in order. Not while a step is outstanding.
  virtual Result<void> copy_pages(std::size_t group, std::span<const PageCopy> copies) = 0;

  /// Starts a step. `batch` must stay unchanged until collected. Errors: kUnavailable (device lost),
  /// kInternal.
  virtual Result<StepHandle> submit(const StepBatch& batch) = 0;
  /// Waits for the oldest submitted step, which must be `handle`, and fills `result` (cleared first).
  virtual Result<void> collect(StepHandle handle, StepResult& result) = 0;

  /// Around everything that the engine does in a step. A device that several models share waits here for this
  /// one's turn; what is computed outside takes its turns by itself.
  virtual void begin_turn() {}
  virtual void end_turn() {}

  /// Brings an adapter (model/adapter.h) of the model into the form that steps read. On any thread, beside
  /// steps. Errors: kUnsupported, naming a module that the backend cannot change, or if it has no adapters at
  /// all; kCorruptData, naming the module; kOutOfMemory.
  virtual Result<PreparedAdapterPtr> prepare_adapter(const Adapter& adapter) const;
  /// Steps may name it from now on, by an id not attached. Not while a step is outstanding.
  virtual Result<void> attach_adapter(AdapterId id, PreparedAdapterPtr adapter);
  /// No step names it any more. Not while a step is outstanding.
  virtual void detach_adapter(AdapterId id);
};

}  // namespace mlxd
