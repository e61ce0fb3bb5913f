#include "backends/cpu/moe_block.h"

#include <algorithm>

namespace mlxd {
namespace {

// Tokens of an expert that one product takes: as many as reuse a piece of its weights well.
constexpr std::int32_t kExpertRows = 64;
// Output units of a piece of an expert, at most and (where there are as many) at least: its weights stay in
// cache while all tokens pass, and quantizing these costs little beside the product.
constexpr std::int32_t kMaxPieceUnits = 8;
constexpr std::int32_t kMinPieceUnits = 2;
constexpr std::int32_t kRouterOutputs = 16;  // of a piece

struct Sizes {
  std::size_t experts = 0;
  std::size_t per_token = 0;
  std::int32_t inner = 0;
  bool shared_norm = false;
};

Sizes largest(const ModelSpec& spec) {
  Sizes sizes;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.moe) continue;
    sizes.experts = std::max(sizes.experts, layer.moe->experts.size());
    sizes.per_token =
        std::max(sizes.per_token, static_cast<std::size_t>(layer.moe->router.experts_per_token));
    sizes.inner = std::max(sizes.inner, layer.moe->experts.front().up_proj.out_features);
    sizes.shared_norm = sizes.shared_norm || layer.moe->shared_norm;
  }
  return sizes;
}

std::int32_t units_of(std::int32_t features) { return num_activation_groups(features); }

}  // namespace

MoeWorkspace::ThreadScratch::ThreadScratch(std::int32_t max_features, std::size_t max_experts,
                                           const StepWorkspace::Options& options)
    : activations(kExpertRows, max_features, options.isa, options.activation_bits),
      gathered(static_cast<std::size_t>(kExpertRows) * static_cast<std::size_t>(max_features)),
      first(static_cast<std::size_t>(kExpertRows) * (kMaxPieceUnits + 1) * kActivationGroup),
      second(first.size()),
      routing(max_experts) {}

MoeWorkspace::MoeWorkspace(const ModelSpec& spec, std::int32_t num_threads,
                           const StepWorkspace::Options& options) {
  const Sizes sizes = largest(spec);
  if (sizes.experts == 0) return;
  const auto rows = static_cast<std::size_t>(options.max_rows);
  const auto hidden = static_cast<std::size_t>(spec.hidden_size);
  const std::size_t slots = rows * sizes.per_token;
  input_.resize(rows * hidden);
  if (sizes.shared_norm) shared_input_.resize(rows * hidden);
  logits_.resize(rows * sizes.experts);
  shared_gates_.resize(rows);
  chosen_.resize(slots);
  first_slots_.resize(sizes.experts + 1);
  next_slots_.resize(sizes.experts);
  slot_pairs_.resize(slots);
  pair_slots_.resize(slots);
  inner_.resize(slots * static_cast<std::size_t>(sizes.inner));
  outputs_.resize(slots * hidden);
  const auto pieces = [&](std::int32_t features) {
    return sizes.experts * static_cast<std::size_t>(units_of(features) / kMinPieceUnits + 1);
  };
  up_items_.reserve(pieces(sizes.inner));
  down_items_.reserve(pieces(spec.hidden_size));
  for (std::int32_t i = 0; i < num_threads; ++i) {
    threads_.push_back(
        std::make_unique<ThreadScratch>(std::max(spec.hidden_size, sizes.inner), sizes.experts, options));
  }
}

std::size_t MoeWorkspace::memory_bytes() const {
  std::size_t bytes = (input_.size() + shared_input_.size() + logits_.size() + shared_gates_.size() +
                       inner_.size() + outputs_.size()) *
                          sizeof(float) +
                      chosen_.size() * sizeof(ChosenExpert) +
                      (first_slots_.size() + next_slots_.size() + slot_pairs_.size() + pair_slots_.size()) *
                          sizeof(std::int32_t);
  for (const auto& thread : threads_) {
    bytes += thread->activations.memory_bytes() +
             (thread->gathered.size() + thread->first.size() + thread->second.size()) * sizeof(float);
  }
  return bytes;
}

Result<MoeBlock> MoeBlock::create(const MoeSpec& spec, const WeightMap& weights) {
  MoeBlock block(spec);
  block.router_ = TRY(RouterWeights::read(spec.router, weights));
  if (spec.shared_norm) block.shared_norm_ = TRY(read_norm(*spec.shared_norm, weights));
  if (spec.shared_post_norm) block.shared_post_norm_ = TRY(read_norm(*spec.shared_post_norm, weights));
  if (spec.experts_post_norm) block.experts_post_norm_ = TRY(read_norm(*spec.experts_post_norm, weights));
  if (spec.shared_gate) block.shared_gate_ = TRY(read_linear(*spec.shared_gate, weights));
  if (spec.shared) block.shared_.emplace(*spec.shared);
  return block;
}

MoeBlock::ExpertParts MoeBlock::expert_parts() const {
  ExpertParts parts;
  for (const MlpSpec& expert : spec_->experts) {
    if (expert.gate_proj) parts.gates.push_back(*expert.gate_proj);
    parts.ups.push_back(expert.up_proj);
    parts.downs.push_back(expert.down_proj);
  }
  return parts;
}

Result<void> MoeBlock::list_products(CpuAdapterBuilder& builder) const {
  // A router with an input of its own is left out: adapters of it are refused.
  if (!reads_residual()) TRY(list_product(builder, &router_, router_.gate, {}, spec_->router.gate));
  if (spec_->shared_gate) TRY(list_product(builder, &shared_gate_, shared_gate_, {}, *spec_->shared_gate));
  const ExpertParts parts = expert_parts();
  if (!parts.gates.empty()) TRY(list_product(builder, gate_proj_, parts.gates));
  TRY(list_product(builder, up_proj_, parts.ups));
  TRY(list_product(builder, down_proj_, parts.downs));
  return shared_ ? shared_->list_products(builder) : Result<void>();
}

Result<void> MoeBlock::order(LinearLoader& loader) {
  ExpertParts parts = expert_parts();
  loader.add(std::move(parts.downs), &down_proj_);
  if (!parts.gates.empty()) loader.add(std::move(parts.gates), &gate_proj_);
  loader.add(std::move(parts.ups), &up_proj_);
  if (shared_) TRY(shared_->order(loader));
  return {};
}

void MoeBlock::register_products(StepWorkspace& workspace) const {
  if (shared_) shared_->register_products(workspace);
}

void MoeBlock::count_work(const StepWorkspace& workspace, StepWork& work) const {
  if (shared_) shared_->count_work(workspace, work);
}

std::size_t MoeBlock::weight_bytes() const {
  const bool gated = spec_->experts.front().gate_proj.has_value();
  return (gated ? gate_proj_.memory_bytes() : 0) + up_proj_.memory_bytes() + down_proj_.memory_bytes() +
         (shared_ ? shared_->weight_bytes() : 0) +
         (router_.num_floats() + shared_gate_.size()) * sizeof(float);
}

/// Chooses the experts of all tokens: fp32 products, then token by token.
void MoeBlock::route(StepWorkspace& workspace, MoeWorkspace& shared, std::int32_t thread) const {
  const VectorKernels& kernels = workspace.kernels();
  const std::int32_t hidden = workspace.hidden();
  const std::int32_t rows = workspace.rows();
  const auto experts = static_cast<std::size_t>(num_experts());
  const StepAdapters& adapters = workspace.adapters();
  workspace.begin_adapters_of({&router_, &shared_gate_}, shared.input_.data(), hidden, StepStage::kGateUp,
                              thread);
  const auto multiply = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    const auto count = static_cast<std::int32_t>(end - begin);
    const float* input = reads_residual() ? workspace.x(0) : shared.input_.data();
    kernels.product(input, hidden, rows, router_.gate.data() + begin * hidden, hidden, count,
                    shared.logits_.data() + begin, num_experts());
    if (adapters.any()) {
      adapters.add_up(&router_, 0, static_cast<std::int32_t>(begin), count, shared.logits_.data() + begin,
                      num_experts());
    }
  };
  workspace.pool().share(thread, num_experts(), kRouterOutputs, multiply);
  workspace.barrier_after(thread, StepStage::kGateUp);
  const auto choose = [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto row = static_cast<std::size_t>(begin); row < static_cast<std::size_t>(end); ++row) {
      float* logits = shared.logits_.data() + row * experts;
      if (reads_residual()) {
        const float* x = workspace.x(static_cast<std::int32_t>(row));
        kernels.scale(logits, kernels.inverse_rms(x, hidden, spec_->router.input_eps), logits, num_experts());
      }
      if (!router_.bias.empty()) kernels.add_to(router_.bias.data(), logits, num_experts());
      route_token(
          spec_->router, router_, {logits, experts},
          shared.threads_[static_cast<std::size_t>(thread)]->routing,
          std::span(shared.chosen_)
              .subspan(row * static_cast<std::size_t>(per_token()), static_cast<std::size_t>(per_token())));
      if (shared_gate_.empty()) continue;
      float* gate = &shared.shared_gates_[row];
      kernels.product(shared_input(shared).data() + row * static_cast<std::size_t>(hidden), hidden, 1,
                      shared_gate_.data(), hidden, 1, gate, 1);
      if (adapters.any()) adapters.add_up_row(&shared_gate_, 1, static_cast<std::int32_t>(row), gate);
      kernels.gate(Activation::kSigmoid, gate, nullptr, gate, 1);
    }
  };
  workspace.pool().share(thread, rows, 1, choose);
}

/// Sorts tokens by expert and cuts the experts' products; one thread.
void MoeBlock::plan(const StepWorkspace& workspace, MoeWorkspace& shared) const {
  const std::int32_t num_pairs = workspace.rows() * per_token();
  std::fill(shared.first_slots_.begin(), shared.first_slots_.end(), 0);
  for (std::int32_t pair = 0; pair < num_pairs; ++pair)
    ++shared
          .first_slots_[static_cast<std::size_t>(shared.chosen_[static_cast<std::size_t>(pair)].expert) + 1];
  for (std::size_t expert = 0; expert < spec_->experts.size(); ++expert) {
    shared.first_slots_[expert + 1] += shared.first_slots_[expert];
    shared.next_slots_[expert] = shared.first_slots_[expert];
  }
  for (std::int32_t pair = 0; pair < num_pairs; ++pair) {
    const auto expert = static_cast<std::size_t>(shared.chosen_[static_cast<std::size_t>(pair)].expert);
    const std::int32_t slot = shared.next_slots_[expert]++;
    shared.slot_pairs_[static_cast<std::size_t>(slot)] = pair;
    shared.pair_slots_[static_cast<std::size_t>(pair)] = slot;
  }
  cut(workspace, shared, up_proj_, shared.up_items_);
  cut(workspace, shared, down_proj_, shared.down_items_);
}

/// Pieces of the experts' products of about equal cost.
void MoeBlock::cut(const StepWorkspace& workspace, const MoeWorkspace& shared, const Linear& linear,
                   std::vector<MoeWorkspace::Item>& items) const {
  const std::int32_t blocks = linear.num_blocks() / num_experts();
  const std::int32_t units = (blocks + kUnitBlocks - 1) / kUnitBlocks;
  const std::int64_t total = std::int64_t{workspace.rows()} * per_token() * units;
  const std::int64_t target =
      std::max<std::int64_t>(1, total / (workspace.pool().num_threads() * kPiecesPerThread));
  items.clear();
  for (std::int32_t expert = 0; expert < num_experts(); ++expert) {
    const auto index = static_cast<std::size_t>(expert);
    const std::int32_t rows = shared.first_slots_[index + 1] - shared.first_slots_[index];
    if (rows == 0) continue;
    const auto balanced = static_cast<std::int32_t>(target / rows);
    const std::int32_t size = std::clamp(balanced, kMinPieceUnits, kMaxPieceUnits);
    for (std::int32_t unit = 0; unit < units; unit += size)
      items.push_back({expert, unit, std::min(unit + size, units)});
  }
}

/// The item's columns of a linear layer of stacked experts.
ProductPiece MoeBlock::piece_of(const Linear& linear, const MoeWorkspace::Item& item) const {
  const std::int32_t blocks = linear.num_blocks() / num_experts();
  const std::int32_t first = item.expert * blocks;
  return {linear, first + item.first_unit * kUnitBlocks,
          first + std::min(item.last_unit * kUnitBlocks, blocks)};
}

/// The item's part of activation(gate) · up of the expert's tokens.
void MoeBlock::run_up(StepWorkspace& workspace, MoeWorkspace& shared, const MoeWorkspace::Item& item,
                      std::int32_t thread) const {
  MoeWorkspace::ThreadScratch& own = *shared.threads_[static_cast<std::size_t>(thread)];
  const std::int32_t hidden = workspace.hidden();
  const MlpSpec& expert = spec_->experts[static_cast<std::size_t>(item.expert)];
  const std::int32_t inner = expert.up_proj.out_features;
  const ProductPiece piece = piece_of(up_proj_, item);
  const std::int32_t column = piece.first_column - item.expert * inner;
  const bool gated = expert.gate_proj.has_value();
  const ActivationForms forms =
      gated ? up_proj_.activation_forms() | gate_proj_.activation_forms() : up_proj_.activation_forms();
  const std::int32_t last = shared.first_slots_[static_cast<std::size_t>(item.expert) + 1];
  for (std::int32_t slot = shared.first_slots_[static_cast<std::size_t>(item.expert)]; slot < last;
       slot += kExpertRows) {
    const std::int32_t rows = std::min(kExpertRows, last - slot);
    for (std::int32_t row = 0; row < rows; ++row) {
      const std::int32_t pair = shared.slot_pairs_[static_cast<std::size_t>(slot + row)];
      const float* from = shared.input_.data() + std::ptrdiff_t{pair / per_token()} * hidden;
      float* to = own.gathered.data() + std::ptrdiff_t{row} * hidden;
      const float weight = shared.chosen_[static_cast<std::size_t>(pair)].weight;
      if (spec_->router.weigh_input) {
        workspace.kernels().scale(from, weight, to, hidden);
      } else {
        std::copy_n(from, hidden, to);
      }
    }
    own.activations.reset(rows, hidden, forms);
    own.activations.fill(own.gathered.data(), hidden, 0, num_activation_groups(hidden));
    workspace.apply_piece(up_proj_, own.activations, rows, piece, own.second);
    adapt_slots(workspace, shared, item, up_proj_, slot, rows, own.gathered.data(), piece, own.second);
    if (gated) {
      workspace.apply_piece(gate_proj_, own.activations, rows, piece, own.first);
      adapt_slots(workspace, shared, item, gate_proj_, slot, rows, own.gathered.data(), piece, own.first);
    }
    for (std::int32_t row = 0; row < rows; ++row) {
      const std::size_t offset = static_cast<std::size_t>(row) * piece.stride;
      const float* up = own.second.data() + offset;
      workspace.kernels().gate(
          expert.activation, gated ? own.first.data() + offset : up, gated ? up : nullptr,
          shared.inner_.data() + std::ptrdiff_t{slot + row} * inner + column, piece.columns);
    }
  }
}

/// Adds to a piece of an expert's outputs what the adapters of `rows` slots make of their inputs.
void MoeBlock::adapt_slots(const StepWorkspace& workspace, const MoeWorkspace& shared,
                           const MoeWorkspace::Item& item, const Linear& linear, std::int32_t first_slot,
                           std::int32_t rows, const float* inputs, const ProductPiece& piece,
                           std::vector<float>& out) const {
  const StepAdapters& adapters = workspace.adapters();
  if (!adapters.any()) return;
  const std::int32_t outputs = linear.out_features() / num_experts();
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::int32_t pair = shared.slot_pairs_[static_cast<std::size_t>(first_slot + row)];
    adapters.adapt_part(pair / per_token(), &linear, item.expert,
                        inputs + std::ptrdiff_t{row} * linear.in_features(),
                        piece.first_column - item.expert * outputs, piece.columns,
                        out.data() + static_cast<std::size_t>(row) * piece.stride);
  }
}

/// The item's part of the expert's outputs.
void MoeBlock::run_down(StepWorkspace& workspace, MoeWorkspace& shared, const MoeWorkspace::Item& item,
                        std::int32_t thread) const {
  MoeWorkspace::ThreadScratch& own = *shared.threads_[static_cast<std::size_t>(thread)];
  const std::int32_t hidden = workspace.hidden();
  const std::int32_t inner = down_proj_.in_features();
  const ProductPiece piece = piece_of(down_proj_, item);
  const std::int32_t column = piece.first_column - item.expert * hidden;
  const std::int32_t last = shared.first_slots_[static_cast<std::size_t>(item.expert) + 1];
  for (std::int32_t slot = shared.first_slots_[static_cast<std::size_t>(item.expert)]; slot < last;
       slot += kExpertRows) {
    const std::int32_t rows = std::min(kExpertRows, last - slot);
    own.activations.reset(rows, inner, down_proj_.activation_forms());
    own.activations.fill(shared.inner_.data() + std::ptrdiff_t{slot} * inner, inner, 0,
                         num_activation_groups(inner));
    workspace.apply_piece(down_proj_, own.activations, rows, piece, own.first);
    adapt_slots(workspace, shared, item, down_proj_, slot, rows,
                shared.inner_.data() + std::ptrdiff_t{slot} * inner, piece, own.first);
    for (std::int32_t row = 0; row < rows; ++row) {
      std::copy_n(own.first.data() + static_cast<std::size_t>(row) * piece.stride, piece.columns,
                  shared.outputs_.data() + std::ptrdiff_t{slot + row} * hidden + column);
    }
  }
}

/// x += scale · post(shared expert + Σ weight · expert) of one token.
void MoeBlock::combine_row(StepWorkspace& workspace, MoeWorkspace& shared, const DenseNorm* post, float scale,
                           std::int32_t row) const {
  const std::int32_t hidden = workspace.hidden();
  float* sum = workspace.branch(row);
  if (!shared_) std::fill_n(sum, hidden, 0.0F);
  if (shared_post_norm_) workspace.normalize_vector(*shared_post_norm_, sum, 0, hidden, sum);
  if (!shared_gate_.empty())
    workspace.kernels().scale(sum, shared.shared_gates_[static_cast<std::size_t>(row)], sum, hidden);
  // The experts' inputs are of no more use.
  float* experts = experts_post_norm_ ? shared.input_.data() + std::ptrdiff_t{row} * hidden : sum;
  if (experts_post_norm_) std::fill_n(experts, hidden, 0.0F);
  for (std::int32_t choice = 0; choice < per_token(); ++choice) {
    const auto pair = static_cast<std::size_t>(row * per_token() + choice);
    const float* output = shared.outputs_.data() + std::ptrdiff_t{shared.pair_slots_[pair]} * hidden;
    const float weight = spec_->router.weigh_input ? 1.0F : shared.chosen_[pair].weight;
    workspace.kernels().add_scaled(output, weight, experts, hidden);
  }
  if (experts_post_norm_) {
    workspace.normalize_vector(*experts_post_norm_, experts, 0, hidden, experts);
    workspace.kernels().add_to(experts, sum, hidden);
  }
  workspace.add_branch_row(post, scale, row);
}

void MoeBlock::normalize_inputs(StepWorkspace& workspace, MoeWorkspace& shared, const DenseNorm* norm,
                                std::int32_t thread) const {
  workspace.pool().share(
      thread, workspace.rows(), 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row) {
          workspace.normalize_row(workspace.x(row), norm, 0, row, shared.input_.data());
          if (shared_norm_)
            workspace.normalize_row(workspace.x(row), &*shared_norm_, 0, row, shared.shared_input_.data());
        }
      });
}

void MoeBlock::run(StepWorkspace& workspace, MoeWorkspace& shared, const DenseNorm* norm,
                   const DenseNorm* post, float scale, std::int32_t thread) {
  ThreadPool& pool = workspace.pool();
  const std::int32_t rows = workspace.rows();
  normalize_inputs(workspace, shared, norm, thread);
  if (thread == 0 && shared_) {
    workspace.hidden_activations().reset(rows, workspace.hidden());
    workspace.mlp_activations().reset(rows, shared_->intermediate());
  }
  workspace.barrier_after(thread, StepStage::kNorm);
  route(workspace, shared, thread);
  workspace.barrier_after(thread, StepStage::kGateUp);
  if (thread == 0) plan(workspace, shared);
  if (shared_) {
    const Activations& input = workspace.quantize(shared_input(shared).data(), workspace.hidden(),
                                                  workspace.hidden_activations(), thread);
    shared_->run_up(workspace, input, thread, [&](std::int32_t row, float* to) {
      std::copy_n(shared_input(shared).data() + std::ptrdiff_t{row} * workspace.hidden(), workspace.hidden(),
                  to);
    });
  }
  workspace.barrier_after(thread, StepStage::kGateUp);
  const auto num_up = static_cast<std::int64_t>(shared.up_items_.size());
  pool.share(thread, num_up, 1, [&](std::int64_t item, std::int64_t, std::int32_t) {
    run_up(workspace, shared, shared.up_items_[static_cast<std::size_t>(item)], thread);
  });
  if (shared_) shared_->begin_down(workspace, thread);
  if (shared_) workspace.set_branch(shared_->down_proj(), workspace.mlp_activations().activations, thread);
  workspace.barrier_after(thread, StepStage::kGateUp);
  const auto num_down = static_cast<std::int64_t>(shared.down_items_.size());
  pool.share(thread, num_down, 1, [&](std::int64_t item, std::int64_t, std::int32_t) {
    run_down(workspace, shared, shared.down_items_[static_cast<std::size_t>(item)], thread);
  });
  workspace.barrier_after(thread, StepStage::kDown);
  pool.share(thread, rows, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row)
      combine_row(workspace, shared, post, scale, row);
  });
  workspace.end_stage(thread, StepStage::kNorm);
}

}  // namespace mlxd
