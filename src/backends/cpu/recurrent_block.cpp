#include "backends/cpu/recurrent_block.h"

#include <algorithm>
#include <string>

#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

// Channels of a piece of a convolution without heads, and value columns of a unit of work: with 128 keys they
// are 32 KB of state.
constexpr std::int32_t kPieceChannels = 64;
constexpr std::int32_t kUnitColumns = 64;
constexpr float kKeyEps = 1e-6F;

const DenseNorm* get(const std::optional<DenseNorm>& norm) { return norm ? &*norm : nullptr; }

/// Widths over all recurrent layers.
struct Widths {
  std::size_t projected = 0, channels = 0, heads = 0, inner = 0, key_dim = 0;
};

Widths widest(const ModelSpec& spec) {
  Widths widths;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.recurrent) continue;
    const RecurrentSpec& recurrent = *layer.recurrent;
    std::int32_t projected = recurrent.gate_proj.out_features + recurrent.conv.channels;
    if (recurrent.input_gate_proj) projected += recurrent.input_gate_proj->out_features;
    widths.projected = std::max(widths.projected, static_cast<std::size_t>(projected));
    widths.channels = std::max(widths.channels, static_cast<std::size_t>(recurrent.conv.channels));
    widths.heads = std::max(widths.heads, static_cast<std::size_t>(recurrent.num_heads));
    widths.inner = std::max(widths.inner, static_cast<std::size_t>(recurrent.inner()));
    widths.key_dim = std::max(widths.key_dim, static_cast<std::size_t>(recurrent.key_dim));
  }
  return widths;
}

Error unsupported_size(const std::string& what, const RecurrentSpec& spec) {
  return unsupported(what + " of " + spec.out_proj.name + " is not supported by the cpu backend");
}

}  // namespace

RecurrentWorkspace::RecurrentWorkspace(const ModelSpec& spec, std::int32_t num_threads,
                                       const StepWorkspace::Options& options) {
  const Widths widths = widest(spec);
  const auto rows = static_cast<std::size_t>(options.max_rows);
  projected_.resize(rows * widths.projected);
  convolved_.resize(rows * widths.channels);
  decays_.resize(rows * widths.heads);
  factors_.resize(rows * widths.heads);
  outputs_.resize(rows * widths.inner);
  zeros_.resize(widths.channels);
  if (widths.channels == 0) return;
  states_.resize(static_cast<std::size_t>(num_threads));
  for (std::vector<float>& state : states_)
    state.resize(widths.key_dim * static_cast<std::size_t>(kUnitColumns));
}

std::size_t RecurrentWorkspace::memory_bytes() const {
  std::size_t floats = projected_.size() + convolved_.size() + decays_.size() + factors_.size() +
                       outputs_.size() + zeros_.size();
  for (const std::vector<float>& state : states_) floats += state.size();
  return floats * sizeof(float);
}

Result<RecurrentBlock> RecurrentBlock::create(const LayerSpec& layer, const WeightMap& weights) {
  const RecurrentSpec& spec = *layer.recurrent;
  if (spec.conv.kernel > kMaxConvKernel)
    return unsupported_size("a convolution of " + std::to_string(spec.conv.kernel) + " inputs", spec);
  // Parts of a stacked product are whole vectors.
  if (spec.conv.channels % kLanes != 0 || spec.value_dim % kLanes != 0 || spec.inner() % kLanes != 0) {
    return unsupported_size("a convolution of " + std::to_string(spec.conv.channels) +
                                " channels or heads of " + std::to_string(spec.value_dim) +
                                " values, not multiples of 16,",
                            spec);
  }
  if (spec.kind == RecurrentKind::kGatedDelta && spec.key_dim % kLanes != 0)
    return unsupported_size("keys of " + std::to_string(spec.key_dim) + ", not a multiple of 16,", spec);
  RecurrentBlock block(layer, TRY(RecurrentWeights::read(spec, weights)));
  if (layer.attention_norm) block.norm_ = TRY(read_norm(*layer.attention_norm, weights));
  if (layer.attention_post_norm) block.post_norm_ = TRY(read_norm(*layer.attention_post_norm, weights));
  return block;
}

std::vector<LinearSpec> RecurrentBlock::in_parts() const {
  std::vector<LinearSpec> parts = spec_->inputs;
  if (spec_->input_gate_proj) parts.push_back(*spec_->input_gate_proj);
  parts.push_back(spec_->gate_proj);
  return parts;
}

Result<void> RecurrentBlock::list_products(CpuAdapterBuilder& builder) const {
  TRY(list_product(builder, in_proj_, in_parts()));
  if (spec_->decay_proj) TRY(list_product(builder, decay_proj_, {&*spec_->decay_proj, 1}));
  if (spec_->beta_proj) TRY(list_product(builder, beta_proj_, {&*spec_->beta_proj, 1}));
  return list_product(builder, out_proj_, {&spec_->out_proj, 1});
}

Result<void> RecurrentBlock::order(LinearLoader& loader) {
  loader.add({spec_->out_proj}, &out_proj_);
  in_bias_ = TRY(loader.add_without_bias(in_parts(), &in_proj_));
  if (spec_->decay_proj) decay_bias_ = TRY(loader.add_without_bias({*spec_->decay_proj}, &decay_proj_));
  if (spec_->beta_proj) beta_bias_ = TRY(loader.add_without_bias({*spec_->beta_proj}, &beta_proj_));
  return {};
}

void RecurrentBlock::register_products(StepWorkspace& workspace) const {
  workspace.hidden_activations().serve(in_proj_);
  if (spec_->decay_proj) workspace.hidden_activations().serve(decay_proj_);
  if (spec_->beta_proj) workspace.hidden_activations().serve(beta_proj_);
  workspace.attention_activations().serve(out_proj_);
}

void RecurrentBlock::count_work(const StepWorkspace& workspace, StepWork& work) const {
  const std::int32_t passes = workspace.splits(in_proj_) ? 2 : workspace.passes(in_proj_);
  work.add_product(StepStage::kQkv, in_proj_, passes);
  if (spec_->decay_proj) work.add_product(StepStage::kQkv, decay_proj_, passes);
  if (spec_->beta_proj) work.add_product(StepStage::kQkv, beta_proj_, passes);
  work.add_product(StepStage::kOutput, out_proj_, workspace.passes(out_proj_));
}

std::size_t RecurrentBlock::weight_bytes() const {
  std::size_t floats = weights_.num_floats() + in_bias_.size() + decay_bias_.size() + beta_bias_.size();
  for (const auto* norm : {&norm_, &post_norm_}) {
    if (*norm) floats += (*norm)->weight.size() + (*norm)->bias.size();
  }
  std::size_t bytes = in_proj_.memory_bytes() + out_proj_.memory_bytes() + floats * sizeof(float);
  if (spec_->decay_proj) bytes += decay_proj_.memory_bytes();
  if (spec_->beta_proj) bytes += beta_proj_.memory_bytes();
  return bytes;
}

void RecurrentBlock::project(StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t thread) {
  // Errors stay in the state: as queries and keys, these get 16-bit activations.
  const Activations& input = workspace.quantize_normed(get(norm_), workspace.splits(in_proj_), thread);
  workspace.begin_adapters_of_norm({&in_proj_}, get(norm_), StepStage::kQkv, thread);
  workspace.multiply(in_proj_, in_bias_, input, shared.projected_.data(), width(), thread);
  if (spec_->decay_proj)
    project_rates(decay_proj_, decay_bias_, input, shared.decays_.data(), workspace, thread);
  if (spec_->beta_proj)
    project_rates(beta_proj_, beta_bias_, input, shared.factors_.data(), workspace, thread);
  workspace.end_stage(thread, StepStage::kQkv);
}

/// Every thread: a rate of each head.
void RecurrentBlock::project_rates(const Linear& linear, const std::vector<float>& bias,
                                   const Activations& input, float* out, StepWorkspace& workspace,
                                   std::int32_t thread) const {
  if (workspace.adapters().adapts(&linear)) {
    // The product before may still read its adapters' inner values, which lie in the same lane.
    workspace.barrier_after(thread, StepStage::kQkv);
    workspace.begin_adapters_of_norm({&linear}, get(norm_), StepStage::kQkv, thread);
  }
  workspace.multiply(linear, bias, input, out, spec_->num_heads, thread);
}

const float* RecurrentBlock::state_before(const StepInput& step, const KvPages& pages,
                                          const BatchSequence& sequence) const {
  if (sequence.first_position == 0) return nullptr;
  return state_of(step, pages, sequence, sequence.first_position - 1);
}

float* RecurrentBlock::state_of(const StepInput& step, const KvPages& pages, const BatchSequence& sequence,
                                std::int32_t position) const {
  const auto& table = sequence.page_tables[static_cast<std::size_t>(spec_->layer_group)];
  const PageId page = step.batch->page_ids[static_cast<std::size_t>(table.begin + position / kPageTokens)];
  return page == kNoPage ? nullptr : pages.state(page, spec_->index_in_group);
}

// Keys and queries are pieces of their own, for their norms; all else is cut as it comes.
std::int32_t RecurrentBlock::num_pieces() const {
  if (spec_->kind != RecurrentKind::kGatedDelta)
    return (spec_->conv.channels + kPieceChannels - 1) / kPieceChannels;
  return 2 * spec_->num_key_heads + spec_->num_heads;
}

RecurrentBlock::Piece RecurrentBlock::piece_at(std::int32_t index) const {
  if (spec_->kind != RecurrentKind::kGatedDelta) {
    const std::int32_t first = index * kPieceChannels;
    return {.first = first, .size = std::min(kPieceChannels, spec_->conv.channels - first)};
  }
  const std::int32_t heads = spec_->num_key_heads;
  if (index < 2 * heads) {
    return {.first = index * spec_->key_dim,
            .size = spec_->key_dim,
            .is_key = index >= heads,
            .is_query = index < heads};
  }
  return {.first = 2 * heads * spec_->key_dim + (index - 2 * heads) * spec_->value_dim,
          .size = spec_->value_dim};
}

void RecurrentBlock::convolve_piece(const StepInput& step, const KvPages& pages,
                                    const StepWorkspace& workspace, RecurrentWorkspace& shared,
                                    std::int32_t token, const Piece& piece) const {
  const ConvSpec& spec = spec_->conv;
  const BatchSequence& sequence =
      step.sequences[static_cast<std::size_t>(step.sequence_indices[static_cast<std::size_t>(token)])];
  const float* before = state_before(step, pages, sequence);
  Convolution conv;
  conv.kernel = spec.kernel;
  conv.weights = weights_.conv.data() + piece.first;
  conv.weight_stride = spec.channels;
  conv.bias = weights_.conv_bias.empty() ? nullptr : weights_.conv_bias.data() + piece.first;
  conv.activated = spec.activated;
  for (std::int32_t j = 0; j < spec.kernel; ++j) {
    // The row of the input, counted from the sequence's first in this step.
    const std::int32_t row = token - sequence.first_token - (spec.kernel - 1 - j);
    if (row >= 0) {
      const float* projected =
          shared.projected_.data() + static_cast<std::ptrdiff_t>(sequence.first_token + row) * width();
      conv.inputs[j] = projected + piece.first;
      if (spec_->input_gate_proj) conv.gates[j] = projected + spec.channels + piece.first;
    } else if (before != nullptr) {
      conv.inputs[j] =
          before + static_cast<std::ptrdiff_t>(spec.kernel - 1 + row) * spec.channels + piece.first;
    } else {
      conv.inputs[j] = shared.zeros_.data();
    }
  }
  const VectorKernels& kernels = workspace.kernels();
  const float* gate =
      shared.projected_.data() + static_cast<std::ptrdiff_t>(token + 1) * width() - spec_->inner();
  float* out = shared.convolved_.data() + static_cast<std::ptrdiff_t>(token) * spec.channels + piece.first;
  kernels.convolve(conv, out, piece.size);
  if (piece.is_key || piece.is_query) {
    // Queries take the factor of both norms.
    const auto size = static_cast<float>(piece.size);
    const float factor = kernels.inverse_rms(out, piece.size, kKeyEps / size);
    const float length = 1.0F / __builtin_sqrtf(size);
    kernels.scale(out, factor * (piece.is_query ? 1.0F / size : length), out, piece.size);
  }
  if (spec_->kind != RecurrentKind::kShortConv) return;
  float* to = shared.outputs_.data() + static_cast<std::ptrdiff_t>(token) * spec_->inner() + piece.first;
  for (std::int32_t i = 0; i < piece.size; ++i) to[i] = out[i] * gate[piece.first + i];
}

/// Decays and factors of a token's heads, in place.
void RecurrentBlock::make_rates(RecurrentWorkspace& shared, std::int32_t token) const {
  const auto heads = static_cast<std::size_t>(spec_->num_heads);
  float* decays = shared.decays_.data() + static_cast<std::size_t>(token) * heads;
  float* factors = shared.factors_.data() + static_cast<std::size_t>(token) * heads;
  for (std::int32_t head = 0; head < spec_->num_heads; ++head) {
    const RecurrentWeights::Rates rates = weights_.rates(*spec_, head, decays[head], factors[head]);
    decays[head] = rates.decay;
    factors[head] = rates.factor;
  }
}

void RecurrentBlock::convolve(const StepInput& step, const KvPages& pages, StepWorkspace& workspace,
                              RecurrentWorkspace& shared, std::int32_t thread) const {
  const std::int64_t pieces = num_pieces();
  const std::int64_t units = pieces + (spec_->has_heads() ? 1 : 0);
  workspace.pool().share(thread, std::int64_t{workspace.rows()} * units, 8,
                         [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                           for (std::int64_t unit = begin; unit < end; ++unit) {
                             const auto token = static_cast<std::int32_t>(unit / units);
                             const auto index = static_cast<std::int32_t>(unit % units);
                             if (index == pieces) {
                               make_rates(shared, token);
                             } else {
                               convolve_piece(step, pages, workspace, shared, token, piece_at(index));
                             }
                           }
                         });
  workspace.end_stage(thread, StepStage::kAttention);
}

/// The last inputs of the convolution, behind each page and the last token. Pages are filled from the last
/// one on: the first may hold the inputs that come before.
void RecurrentBlock::store_inputs(const StepInput& step, const KvPages& pages, RecurrentWorkspace& shared,
                                  const BatchSequence& sequence) const {
  const ConvSpec& spec = spec_->conv;
  const std::int32_t kept = spec.kernel - 1;
  const auto channels = static_cast<std::ptrdiff_t>(spec.channels);
  const float* before = state_before(step, pages, sequence);
  std::int32_t last = sequence.first_position + sequence.num_tokens - 1;
  while (last >= sequence.first_position) {
    float* state = state_of(step, pages, sequence, last);
    const std::int32_t num_done = last - sequence.first_position + 1;
    for (std::int32_t j = 0; state != nullptr && j < kept; ++j) {
      const std::int32_t row = num_done - kept + j;
      float* to = state + j * channels;
      if (row >= 0) {
        const float* from =
            shared.projected_.data() + static_cast<std::ptrdiff_t>(sequence.first_token + row) * width();
        if (spec_->input_gate_proj) {
          for (std::ptrdiff_t c = 0; c < channels; ++c) to[c] = from[c] * from[channels + c];
        } else {
          std::copy_n(from, channels, to);
        }
      } else if (before != nullptr) {
        // From where it is not yet written: rows are taken in ascending order, from further on.
        std::copy_n(before + (kept + row) * channels, channels, to);
      } else {
        std::fill_n(to, channels, 0.0F);
      }
    }
    last = last / kPageTokens * kPageTokens - 1;
  }
}

void RecurrentBlock::advance_head(const StepInput& step, const KvPages& pages, const StepWorkspace& workspace,
                                  RecurrentWorkspace& shared, const BatchSequence& sequence,
                                  std::int32_t head, std::int32_t first_column, std::int32_t columns,
                                  std::int32_t thread) const {
  const std::ptrdiff_t offset = spec_->conv_state_floats() + head * spec_->head_state_floats() + first_column;
  const auto value_dim = static_cast<std::ptrdiff_t>(spec_->value_dim);
  const auto width = static_cast<std::ptrdiff_t>(columns);
  float* state = shared.states_[static_cast<std::size_t>(thread)].data();
  const float* before = state_before(step, pages, sequence);
  for (std::ptrdiff_t d = 0; d < spec_->key_dim; ++d) {
    if (before == nullptr) {
      std::fill_n(state + d * width, width, 0.0F);
    } else {
      std::copy_n(before + offset + d * value_dim, width, state + d * width);
    }
  }
  const std::int32_t key_head = head / (spec_->num_heads / spec_->num_key_heads);
  const std::int32_t keys = spec_->num_key_heads * spec_->key_dim;
  // Gated delta: queries, keys, values; Mamba-2: values, keys, queries.
  const bool is_delta = spec_->kind == RecurrentKind::kGatedDelta;
  const std::int32_t key_channel = (is_delta ? keys : spec_->inner()) + key_head * spec_->key_dim;
  const std::int32_t query_channel = (is_delta ? 0 : spec_->inner() + keys) + key_head * spec_->key_dim;
  const std::int32_t value_channel = (is_delta ? 2 * keys : 0) + head * spec_->value_dim + first_column;
  Recurrence run;
  run.key_dim = spec_->key_dim;
  run.value_dim = columns;
  run.is_delta_rule = is_delta;
  run.skip = weights_.skip.empty() ? 0.0F : weights_.skip[static_cast<std::size_t>(head)];
  run.state = state;
  run.stride = spec_->conv.channels;
  run.rate_stride = spec_->num_heads;
  run.output_stride = spec_->inner();
  std::int32_t position = sequence.first_position;
  const std::int32_t end = position + sequence.num_tokens;
  while (position < end) {
    const std::int32_t next = std::min(end, (position / kPageTokens + 1) * kPageTokens);
    const std::ptrdiff_t token = sequence.first_token + position - sequence.first_position;
    const float* row = shared.convolved_.data() + token * spec_->conv.channels;
    run.rows = next - position;
    run.keys = row + key_channel;
    run.queries = row + query_channel;
    run.values = row + value_channel;
    run.decays = shared.decays_.data() + token * spec_->num_heads + head;
    run.factors = shared.factors_.data() + token * spec_->num_heads + head;
    run.outputs = shared.outputs_.data() + token * spec_->inner() + head * spec_->value_dim + first_column;
    workspace.kernels().recur(run);
    if (float* to = state_of(step, pages, sequence, position)) {
      for (std::ptrdiff_t d = 0; d < spec_->key_dim; ++d)
        std::copy_n(state + d * width, width, to + offset + d * value_dim);
    }
    position = next;
  }
}

void RecurrentBlock::advance(const StepInput& step, const KvPages& pages, StepWorkspace& workspace,
                             RecurrentWorkspace& shared, std::int32_t thread) const {
  const std::int32_t pieces = (spec_->value_dim + kUnitColumns - 1) / kUnitColumns;
  const std::int64_t units = 1 + std::int64_t{spec_->num_heads} * pieces;
  workspace.pool().share(
      thread, std::ssize(step.sequences) * units, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (std::int64_t unit = begin; unit < end; ++unit) {
          const BatchSequence& sequence = step.sequences[static_cast<std::size_t>(unit / units)];
          const auto index = static_cast<std::int32_t>(unit % units);
          if (index == 0) {
            store_inputs(step, pages, shared, sequence);
            continue;
          }
          const std::int32_t first = (index - 1) % pieces * kUnitColumns;
          advance_head(step, pages, workspace, shared, sequence, (index - 1) / pieces, first,
                       std::min(kUnitColumns, spec_->value_dim - first), thread);
        }
      });
  workspace.end_stage(thread, StepStage::kAttention);
}

void RecurrentBlock::finish_row(const StepWorkspace& workspace, RecurrentWorkspace& shared,
                                std::int32_t row) const {
  const VectorKernels& kernels = workspace.kernels();
  const std::int32_t inner = spec_->inner();
  float* out = shared.outputs_.data() + static_cast<std::ptrdiff_t>(row) * inner;
  const float* gate = shared.projected_.data() + static_cast<std::ptrdiff_t>(row + 1) * width() - inner;
  if (spec_->norm_after_gate) kernels.gate(Activation::kSilu, gate, out, out, inner);
  if (weights_.norm) {
    const auto size = static_cast<std::size_t>(spec_->norm_size);
    const bool alike = weights_.norm->weight.size() == size;
    for (std::size_t i = 0; i < static_cast<std::size_t>(inner); i += size)
      workspace.normalize_vector(*weights_.norm, out + i, alike ? 0 : i, spec_->norm_size, out + i);
  }
  if (!spec_->norm_after_gate) kernels.gate(Activation::kSilu, gate, out, out, inner);
}

void RecurrentBlock::finish(StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t thread) const {
  workspace.pool().share(
      thread, workspace.rows(), 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row)
          finish_row(workspace, shared, row);
      });
  workspace.end_stage(thread, StepStage::kNorm);
}

void RecurrentBlock::add_output(StepWorkspace& workspace, RecurrentWorkspace& shared, std::int32_t thread) {
  workspace.begin_adapters_of({&out_proj_}, shared.outputs_.data(), spec_->inner(), StepStage::kOutput,
                              thread);
  const Activations& input =
      workspace.quantize(shared.outputs_.data(), spec_->inner(), workspace.attention_activations(), thread);
  workspace.add_product(out_proj_, input, get(post_norm_), layer_->residual_scale, StepStage::kOutput,
                        thread);
}

}  // namespace mlxd
