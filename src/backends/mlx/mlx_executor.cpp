#include "backends/mlx/mlx_executor.h"

#include <mlx/fast.h>
#include <mlx/memory.h>
#include <mlx/ops.h>
#include <mlx/transforms.h>
#include <mlx/version.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "backends/mlx/mlx_weights.h"
#include "engine/step_check.h"

namespace mlxd {
namespace {

namespace mx = mlx::core;

/// One layer's K/V, [num_pages * kPageTokens, num_kv_heads, head_dim]: position p of page g is row
/// g * kPageTokens + p % kPageTokens.
struct KvPool {
  mx::array keys, values;
};

/// What a step's sequences read and write in one layer group; the same for all of its layers.
struct GroupStep {
  struct Reader {
    std::int32_t first_token = 0;
    std::int32_t num_tokens = 0;
    mx::array rows;                     // of the pool: every position some token attends to, in order
    std::optional<mx::array> attended;  // bool [num_tokens, rows]; absent: all of them
  };
  mx::array written_rows;  // of the pool, by token
  std::vector<Reader> readers;
};

/// Cosines and sines [tokens, 1, pairs] of one RopeSpec.
struct Rotation {
  mx::array cosines, sines;
};

mx::array rows_of(const std::vector<std::int32_t>& rows) {
  return mx::array(rows.data(), {static_cast<mx::ShapeElem>(rows.size())}, mx::int32);
}

mx::ShapeElem size_of(std::size_t count) { return static_cast<mx::ShapeElem>(count); }

}  // namespace

struct MlxExecutor::State {
  State(const ModelSpec& model, MlxWeights read, mx::Stream default_stream)
      : spec(model), stream(default_stream), weights(std::move(read)) {}

  const ModelSpec spec;
  const std::thread::id thread = std::this_thread::get_id();
  const mx::Stream stream;
  std::optional<Error> lost;

  const MlxWeights weights;

  std::vector<PageGroupInfo> page_groups;
  std::vector<std::int32_t> num_pages;     // by group
  std::vector<std::vector<KvPool>> pools;  // by group, then layer in the group
  std::deque<mx::array> started;           // what each step not finished gives

  template <typename Function>
  Result<void> guarded(ErrorKind kind, Function&& function);

  mx::array zeros(const LayerGroup& group, std::int32_t pages) const;
  mx::array resized(const mx::array& pool, const LayerGroup& group, std::int32_t from, std::int32_t to) const;

  mx::array apply(const MlxLinear& linear, const mx::array& x) const;
  mx::array embed(std::span<const TokenId> tokens) const;
  mx::array rotate(const mx::array& x, const RopeSpec& rope, const Rotation& rotation) const;
  Rotation make_rotation(const RopeSpec& rope, const StepBatch& batch) const;
  GroupStep make_group_step(const StepBatch& batch, std::size_t group) const;
  mx::array attend(const AttentionSpec& attention, const mx::array& q, const KvPool& pool,
                   const GroupStep& step) const;
  mx::array run_attention(const AttentionSpec& attention, const MlxLayer& layer, const mx::array& x,
                          const GroupStep& step, std::span<const Rotation> rotations, KvPool& pool) const;
  mx::array run_mlp(const MlpSpec& mlp, const MlxLayer& layer, const mx::array& x) const;
  mx::array run_head(const mx::array& x, const StepBatch& batch) const;
};

// Runs `function`, with MLX's exceptions turned into an error of that kind. After kUnavailable nothing runs
// any more.
template <typename Function>
Result<void> MlxExecutor::State::guarded(ErrorKind kind, Function&& function) {
  if (lost) return *lost;
  if (std::this_thread::get_id() != thread)
    return Error(ErrorKind::kInternal, "the MLX backend is called from another thread than loaded it");
  try {
    return function();
  } catch (const std::exception& exception) {
    Error error(kind, std::string("mlx: ") + exception.what());
    if (kind == ErrorKind::kUnavailable) lost = error;
    return error;
  }
}

mx::array MlxExecutor::State::zeros(const LayerGroup& group, std::int32_t pages) const {
  return mx::zeros({pages * kPageTokens, group.num_kv_heads, group.head_dim}, mx::float32, stream);
}

mx::array MlxExecutor::State::resized(const mx::array& pool, const LayerGroup& group, std::int32_t from,
                                      std::int32_t to) const {
  if (from == 0 || to == 0) return zeros(group, to);
  if (to > from) return mx::concatenate({pool, zeros(group, to - from)}, 0, stream);
  // Taken and not sliced: a slice would keep the whole pool's memory.
  return mx::take(pool, mx::arange(to * kPageTokens, stream), 0, stream);
}

mx::array MlxExecutor::State::apply(const MlxLinear& linear, const mx::array& x) const {
  const Quantization& form = linear.quantization;
  mx::array y = linear.scales ? mx::quantized_matmul(x, linear.weight, *linear.scales, linear.biases, true,
                                                     form.group_size, form.bits,
                                                     std::string(to_string(form.mode)), stream)
                              : mx::matmul(x, mx::transpose(linear.weight, stream), stream);
  return linear.bias ? mx::add(y, *linear.bias, stream) : y;
}

mx::array MlxExecutor::State::embed(std::span<const TokenId> tokens) const {
  const mx::array ids(tokens.data(), {size_of(tokens.size())}, mx::int32);
  const mx::array rows = mx::take(weights.embedding.weight, ids, 0, stream);
  if (!weights.embedding.scales) return rows;
  const Quantization& form = weights.embedding.quantization;
  std::optional<mx::array> biases;
  if (weights.embedding.biases) biases = mx::take(*weights.embedding.biases, ids, 0, stream);
  return mx::dequantize(rows, mx::take(*weights.embedding.scales, ids, 0, stream), biases, form.group_size,
                        form.bits, std::string(to_string(form.mode)), std::nullopt, mx::float32, stream);
}

// In double, as angles grow with the position: a float would lose the low bits of a long context's.
Rotation MlxExecutor::State::make_rotation(const RopeSpec& rope, const StepBatch& batch) const {
  std::vector<float> cosines;
  std::vector<float> sines;
  for (const BatchSequence& sequence : batch.sequences) {
    for (std::int32_t i = 0; i < sequence.num_tokens; ++i) {
      for (const float frequency : rope.inverse_frequencies) {
        const double angle =
            static_cast<double>(sequence.first_position + i) * static_cast<double>(frequency);
        cosines.push_back(static_cast<float>(std::cos(angle) * static_cast<double>(rope.attention_factor)));
        sines.push_back(static_cast<float>(std::sin(angle) * static_cast<double>(rope.attention_factor)));
      }
    }
  }
  const mx::Shape shape{size_of(batch.tokens.size()), 1, size_of(rope.inverse_frequencies.size())};
  return {mx::array(cosines.data(), shape, mx::float32), mx::array(sines.data(), shape, mx::float32)};
}

/// x [tokens, heads, head_dim]
mx::array MlxExecutor::State::rotate(const mx::array& x, const RopeSpec& rope,
                                     const Rotation& rotation) const {
  const mx::ShapeElem tokens = x.shape(0);
  const mx::ShapeElem heads = x.shape(1);
  const auto pairs = size_of(rope.inverse_frequencies.size());
  const auto part = [&](const mx::array& from, mx::ShapeElem begin, mx::ShapeElem end) {
    return mx::slice(from, {0, 0, begin}, {tokens, heads, end}, stream);
  };
  // One order for both kinds of pair: all the first halves, then all the second ones.
  mx::array head = part(x, 0, 2 * pairs);
  if (rope.traditional) {
    head = mx::reshape(head, {tokens, heads, pairs, 2}, stream);
    head = mx::reshape(mx::transpose(head, {0, 1, 3, 2}, stream), {tokens, heads, 2 * pairs}, stream);
  }
  const mx::array a = part(head, 0, pairs);
  const mx::array b = part(head, pairs, 2 * pairs);
  const auto product = [&](const mx::array& left, const mx::array& right) {
    return mx::multiply(left, right, stream);
  };
  mx::array rotated =
      mx::concatenate({mx::subtract(product(a, rotation.cosines), product(b, rotation.sines), stream),
                       mx::add(product(b, rotation.cosines), product(a, rotation.sines), stream)},
                      2, stream);
  if (rope.traditional) {
    rotated = mx::reshape(rotated, {tokens, heads, 2, pairs}, stream);
    rotated = mx::reshape(mx::transpose(rotated, {0, 1, 3, 2}, stream), {tokens, heads, 2 * pairs}, stream);
  }
  if (2 * pairs == x.shape(2)) return rotated;
  return mx::concatenate({rotated, part(x, 2 * pairs, x.shape(2))}, 2, stream);
}

GroupStep MlxExecutor::State::make_group_step(const StepBatch& batch, std::size_t group) const {
  const std::int32_t window = page_groups[group].window_tokens;
  std::vector<std::int32_t> written;
  std::vector<GroupStep::Reader> readers;
  for (const BatchSequence& sequence : batch.sequences) {
    const auto row = [&](std::int32_t position) {
      const std::int32_t entry = sequence.page_tables[group].begin + position / kPageTokens;
      return static_cast<std::int32_t>(batch.page_ids[static_cast<std::size_t>(entry)]) * kPageTokens +
             position % kPageTokens;
    };
    const std::int32_t end = sequence.first_position + sequence.num_tokens;
    const std::int32_t begin = first_visible_position(sequence.first_position, window);
    for (std::int32_t position = sequence.first_position; position < end; ++position)
      written.push_back(row(position));
    std::vector<std::int32_t> read;
    for (std::int32_t position = begin; position < end; ++position) read.push_back(row(position));
    GroupStep::Reader reader{sequence.first_token, sequence.num_tokens, rows_of(read), {}};
    if (sequence.num_tokens > 1) {
      const mx::array keys = mx::arange(begin, end, stream);
      const mx::array queries = mx::expand_dims(mx::arange(sequence.first_position, end, stream), 1, stream);
      reader.attended = mx::less_equal(keys, queries, stream);
      if (window > 0) {
        reader.attended = mx::logical_and(
            *reader.attended, mx::less(queries, mx::add(keys, mx::array(window), stream), stream), stream);
      }
    }
    readers.push_back(std::move(reader));
  }
  return {rows_of(written), std::move(readers)};
}

/// q [tokens, heads, head_dim] → [tokens, heads * head_dim]
mx::array MlxExecutor::State::attend(const AttentionSpec& attention, const mx::array& q, const KvPool& pool,
                                     const GroupStep& step) const {
  const std::int32_t heads_each = attention.num_heads / attention.num_kv_heads;
  std::vector<mx::array> parts;
  for (const GroupStep::Reader& reader : step.readers) {
    const std::int32_t n = reader.num_tokens;
    mx::array queries = mx::slice(q, {reader.first_token, 0, 0},
                                  {reader.first_token + n, attention.num_heads, attention.head_dim}, stream);
    queries = mx::reshape(queries, {n, attention.num_kv_heads, heads_each, attention.head_dim}, stream);
    queries = mx::transpose(queries, {1, 2, 0, 3}, stream);  // [kv_heads, heads_each, n, head_dim]
    const mx::array keys = mx::take(pool.keys, reader.rows, 0, stream);
    const mx::array values = mx::take(pool.values, reader.rows, 0, stream);
    mx::array scores =
        mx::matmul(queries, mx::expand_dims(mx::transpose(keys, {1, 2, 0}, stream), 1, stream), stream);
    scores = mx::multiply(scores, mx::array(attention.scale), stream);
    if (reader.attended) scores = mx::where(*reader.attended, scores, mx::array(-INFINITY), stream);
    const mx::array mixed =
        mx::matmul(mx::softmax(scores, -1, true, stream),
                   mx::expand_dims(mx::transpose(values, {1, 0, 2}, stream), 1, stream), stream);
    parts.push_back(mx::reshape(mx::transpose(mixed, {2, 0, 1, 3}, stream),
                                {n, attention.num_heads * attention.head_dim}, stream));
  }
  return parts.size() == 1 ? parts.front() : mx::concatenate(parts, 0, stream);
}

mx::array MlxExecutor::State::run_attention(const AttentionSpec& attention, const MlxLayer& layer,
                                            const mx::array& x, const GroupStep& step,
                                            std::span<const Rotation> rotations, KvPool& pool) const {
  const mx::ShapeElem tokens = x.shape(0);
  const auto heads_of = [&](const MlxLinear& linear, std::int32_t heads) {
    return mx::reshape(apply(linear, x), {tokens, heads, attention.head_dim}, stream);
  };
  mx::array q = heads_of(layer.q_proj, attention.num_heads);
  mx::array k = heads_of(layer.k_proj, attention.num_kv_heads);
  const mx::array v = heads_of(layer.v_proj, attention.num_kv_heads);
  if (attention.rope) {
    const auto rope = static_cast<std::size_t>(*attention.rope);
    q = rotate(q, spec.ropes[rope], rotations[rope]);
    k = rotate(k, spec.ropes[rope], rotations[rope]);
  }
  pool.keys = mx::scatter(pool.keys, step.written_rows, mx::expand_dims(k, 1, stream), 0, stream);
  pool.values = mx::scatter(pool.values, step.written_rows, mx::expand_dims(v, 1, stream), 0, stream);
  return apply(layer.o_proj, attend(attention, q, pool, step));
}

mx::array MlxExecutor::State::run_mlp(const MlpSpec& mlp, const MlxLayer& layer, const mx::array& x) const {
  const mx::array gate = apply(layer.gate_proj, x);
  mx::array factor = mx::sigmoid(gate, stream);
  if (mlp.activation == Activation::kGeluTanh) {
    const mx::array cube = mx::multiply(gate, mx::square(gate, stream), stream);
    const mx::array inner = mx::add(gate, mx::multiply(cube, mx::array(0.044715F), stream), stream);
    const mx::array tanh = mx::tanh(mx::multiply(inner, mx::array(0.7978845608F), stream), stream);
    factor = mx::multiply(mx::add(tanh, mx::array(1.0F), stream), mx::array(0.5F), stream);
  }
  const mx::array activated = mx::multiply(gate, factor, stream);
  return apply(layer.down_proj, mx::multiply(activated, apply(layer.up_proj, x), stream));
}

// The logits of the rows that sample; of a step without any, something that is done when the step is.
mx::array MlxExecutor::State::run_head(const mx::array& x, const StepBatch& batch) const {
  if (batch.samples.empty()) return mx::slice(x, {0, 0}, {1, 1}, stream);
  std::vector<std::int32_t> rows;
  for (const SampleRow& row : batch.samples) rows.push_back(row.token_index);
  const mx::array chosen = mx::take(x, rows_of(rows), 0, stream);
  const mx::array normed = mx::fast::rms_norm(chosen, weights.final_norm, spec.final_norm.eps, stream);
  // Copied if it is a view: the host reads it as it lies.
  return mx::contiguous(apply(weights.lm_head ? *weights.lm_head : weights.embedding, normed), false, stream);
}

MlxExecutor::MlxExecutor(std::unique_ptr<State> state) : state_(std::move(state)) {}
MlxExecutor::~MlxExecutor() = default;

Result<std::unique_ptr<MlxExecutor>> MlxExecutor::load(const ModelSpec& spec, const WeightMap& weights,
                                                       const std::function<void(float)>& progress) {
  try {
    if (std::string_view(mx::version()) != MLXD_MLX_VERSION) {
      return unsupported(
          std::string("this program was built with MLX " MLXD_MLX_VERSION " and found version ") +
          mx::version() + ": install the one it was built with");
    }
    const mx::Stream stream = mx::default_stream(mx::Device::cpu);
    MlxWeights read = TRY(MlxWeights::read(spec, weights, stream, progress));
    std::unique_ptr<MlxExecutor> executor(
        new MlxExecutor(std::make_unique<State>(spec, std::move(read), stream)));
    State& state = *executor->state_;
    for (const LayerGroup& group : spec.layer_groups) {
      PageGroupInfo info;
      info.window_tokens = group.window_tokens;
      info.page_bytes = 2 * sizeof(float) * static_cast<std::size_t>(kPageTokens) *
                        static_cast<std::size_t>(group.num_kv_heads) *
                        static_cast<std::size_t>(group.head_dim) * static_cast<std::size_t>(group.num_layers);
      state.page_groups.push_back(info);
      state.num_pages.push_back(0);
      state.pools.emplace_back();
      for (std::int32_t i = 0; i < group.num_layers; ++i)
        state.pools.back().push_back({state.zeros(group, 0), state.zeros(group, 0)});
    }
    return executor;
  } catch (const std::exception& exception) {
    return Error(ErrorKind::kInternal, std::string("mlx: ") + exception.what());
  }
}

std::size_t MlxExecutor::weight_bytes() const { return state_->weights.num_bytes; }
std::span<const std::int32_t> MlxExecutor::num_pages() const { return state_->num_pages; }
const std::vector<PageGroupInfo>& MlxExecutor::page_groups() const { return state_->page_groups; }

Result<void> MlxExecutor::resize_pages(std::size_t group, std::int32_t num_pages) {
  return state_->guarded(ErrorKind::kOutOfMemory, [&]() -> Result<void> {
    const std::int32_t old_pages = state_->num_pages[group];
    const std::size_t page_bytes = state_->page_groups[group].page_bytes;
    // MLX itself would take what the system promises and die when it is used.
    const std::size_t wanted = page_bytes * static_cast<std::size_t>(num_pages);
    const std::size_t limit = mx::get_memory_limit();
    if (num_pages > INT32_MAX / kPageTokens || mx::get_active_memory() + wanted > limit) {
      return Error(ErrorKind::kOutOfMemory, std::to_string(num_pages) + " pages need " +
                                                std::to_string(wanted >> 20U) + " MiB, MLX may hold " +
                                                std::to_string(limit >> 20U) + " MiB in all");
    }
    const LayerGroup& layout = state_->spec.layer_groups[group];
    std::vector<KvPool> pools;
    std::vector<mx::array> all;
    for (const KvPool& pool : state_->pools[group]) {
      pools.push_back({state_->resized(pool.keys, layout, old_pages, num_pages),
                       state_->resized(pool.values, layout, old_pages, num_pages)});
      all.push_back(pools.back().keys);
      all.push_back(pools.back().values);
    }
    mx::eval(all);
    state_->pools[group] = std::move(pools);
    state_->num_pages[group] = num_pages;
    all.clear();
    mx::clear_cache();
    return {};
  });
}

Result<void> MlxExecutor::copy_pages(std::size_t group, std::span<const PageCopy> copies) {
  return state_->guarded(ErrorKind::kUnavailable, [&]() -> Result<void> {
    // Where each page's contents lie before the first copy, so that all are copied at once as if in order.
    std::map<PageId, PageId> source_of;
    for (const PageCopy& copy : copies) {
      const auto source = source_of.find(copy.from);
      source_of[copy.to] = source == source_of.end() ? copy.from : source->second;
    }
    std::vector<std::int32_t> from;
    std::vector<std::int32_t> to;
    for (const auto& [target, source] : source_of) {
      for (std::int32_t i = 0; i < kPageTokens; ++i) {
        from.push_back(static_cast<std::int32_t>(source) * kPageTokens + i);
        to.push_back(static_cast<std::int32_t>(target) * kPageTokens + i);
      }
    }
    if (from.empty()) return {};
    const mx::Stream stream = state_->stream;
    for (KvPool& pool : state_->pools[group]) {
      for (mx::array* values : {&pool.keys, &pool.values}) {
        // Evaluated apart, so that the pool is written in place.
        mx::array moved = mx::expand_dims(mx::take(*values, rows_of(from), 0, stream), 1, stream);
        moved.eval();
        *values = mx::scatter(*values, rows_of(to), moved, 0, stream);
        values->eval();
      }
    }
    return {};
  });
}

Result<void> MlxExecutor::start(const StepBatch& batch, std::span<const TokenId> tokens) {
  std::vector<mx::array> wanted;
  TRY(state_->guarded(ErrorKind::kInternal, [&]() -> Result<void> {
    State& state = *state_;
    std::vector<Rotation> rotations;
    for (const RopeSpec& rope : state.spec.ropes) rotations.push_back(state.make_rotation(rope, batch));
    std::vector<GroupStep> steps;
    for (std::size_t group = 0; group < state.page_groups.size(); ++group)
      steps.push_back(state.make_group_step(batch, group));
    std::vector<std::vector<KvPool>> pools = state.pools;
    mx::array x = state.embed(tokens);
    for (std::size_t i = 0; i < state.weights.layers.size(); ++i) {
      const LayerSpec& spec = state.spec.layers[i];
      const MlxLayer& layer = state.weights.layers[i];
      const AttentionSpec& attention = *spec.attention;
      const auto group = static_cast<std::size_t>(attention.layer_group);
      KvPool& pool = pools[group][static_cast<std::size_t>(attention.index_in_group)];
      const mx::array normed =
          mx::fast::rms_norm(x, layer.attention_norm, spec.attention_norm->eps, state.stream);
      x = mx::add(x, state.run_attention(attention, layer, normed, steps[group], rotations, pool),
                  state.stream);
      const mx::array mlp_input = mx::fast::rms_norm(x, layer.mlp_norm, spec.mlp_norm->eps, state.stream);
      x = mx::add(x, state.run_mlp(*spec.mlp, layer, mlp_input), state.stream);
    }
    wanted.push_back(state.run_head(x, batch));
    // From here on only the new pools are held, so that evaluation writes them in place.
    state.pools = std::move(pools);
    return {};
  }));
  return state_->guarded(ErrorKind::kUnavailable, [&]() -> Result<void> {
    state_->started.push_back(wanted.front());
    for (const std::vector<KvPool>& group : state_->pools) {
      for (const KvPool& pool : group) {
        wanted.push_back(pool.keys);
        wanted.push_back(pool.values);
      }
    }
    mx::async_eval(std::move(wanted));
    return {};
  });
}

Result<void> MlxExecutor::finish(std::vector<float>& logits) {
  return state_->guarded(ErrorKind::kUnavailable, [&]() -> Result<void> {
    mx::array result = state_->started.front();
    state_->started.pop_front();
    result.eval();
    logits.assign(result.data<float>(), result.data<float>() + result.size());
    return {};
  });
}

}  // namespace mlxd
