#include "backends/cpu/fast_executor.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>

#include "backends/cpu/dense_weights.h"
#include "backends/cpu/vector.h"
#include "base/check.h"

namespace mlxd {
namespace {

// Products are shared out in units of 32 output rows: one group of the activations that follow.
constexpr std::int32_t kUnitBlocks = kActivationGroup / kBlockRows;
// Outputs of a piece should stay in the second-level cache until they are consumed.
constexpr std::int64_t kPieceFloats = 16384;
// Up to here quantizing takes less time than a barrier between the shares of several threads.
constexpr std::int32_t kFewRows = 8;
constexpr std::int32_t kFewElements = 6144;
constexpr std::int64_t kPiecesPerThread = 4;
constexpr std::int64_t kVocabularyPiecesPerThread = 16;
constexpr std::size_t kPackingPieceBytes = std::size_t{2} << 20U;
constexpr std::int32_t kRowPadding = 16;  // breaks up strides of powers of two

std::int32_t num_groups(std::int32_t features) {
  return (features + kActivationGroup - 1) / kActivationGroup;
}
std::int32_t num_units(const Linear& linear) { return (linear.num_blocks() + kUnitBlocks - 1) / kUnitBlocks; }

/// The address column 0 would have if `piece` holds the columns from `first_column` on. Only for arguments
/// that are indexed by absolute column and accessed from `first_column` on.
float* column_zero(float* piece, std::int64_t first_column) {
  return reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(piece) -
                                  static_cast<std::uintptr_t>(first_column) * sizeof(float));
}

/// Whether a product takes its activations as integers.
bool takes_integers(const Linear& linear) {
  return (linear.activation_forms() | ActivationForms::kFp32) != linear.activation_forms();
}

/// The larger logit, the lower id of equal ones: the same whatever the order of pieces.
void raise(Peak& peak, const Peak& other) {
  if (other.token == kNoToken) return;
  if (peak.token == kNoToken || other.logit > peak.logit ||
      (other.logit == peak.logit && other.token < peak.token)) {
    peak = other;
  }
}

/// The biases of stacked layers [out_features of all], taken away from the layers: of products whose rows go
/// in twice they must be added once. Empty if none has one.
Result<std::vector<float>> take_bias(std::vector<LinearSpec>& parts, const WeightMap& weights) {
  std::vector<float> biases;
  bool any = false;
  for (LinearSpec& part : parts) {
    std::vector<float> bias = TRY(read_bias(part, weights));
    any = any || part.has_bias;
    bias.resize(static_cast<std::size_t>(part.out_features));
    biases.insert(biases.end(), bias.begin(), bias.end());
    part.has_bias = false;
  }
  if (!any) biases.clear();
  return biases;
}

struct Sizes {
  std::int32_t head_dim = 0, queries = 0, intermediate = 0;
};

Sizes largest(const ModelSpec& spec) {
  Sizes sizes;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& attention = layer.attention;
    sizes.head_dim = std::max(sizes.head_dim, attention.head_dim);
    sizes.queries = std::max(sizes.queries, attention.num_heads * attention.head_dim);
    sizes.intermediate = std::max(sizes.intermediate, layer.mlp.gate_proj.out_features);
  }
  return sizes;
}

Result<void> check_supported(const ModelSpec& spec) {
  for (const LayerSpec& layer : spec.layers) {
    const std::int32_t head_dim = layer.attention.head_dim;
    if (head_dim % kLanes != 0 || head_dim <= 0 || head_dim > kMaxKernelHeadDim) {
      return unsupported("head_dim " + std::to_string(head_dim) + " of " + layer.attention.q_proj.name +
                         " is not supported by the cpu backend: a multiple of 16 up to " +
                         std::to_string(kMaxKernelHeadDim) + " is");
    }
  }
  return {};
}

}  // namespace

/// Output columns of a linear layer: whole blocks, all parts of which are multiples of 16 rows but the last.
struct FastExecutor::Piece {
  Piece(const Linear& linear, std::int32_t first, std::int32_t last)
      : first_block(first),
        last_block(std::min(last, linear.num_blocks())),
        first_column(first * kBlockRows),
        columns(linear.block_row(last_block) - first_column),
        stride(static_cast<std::size_t>((last - first) * kBlockRows + kRowPadding)) {}

  static Piece of_units(const Linear& linear, std::int64_t begin, std::int64_t end) {
    return {linear, static_cast<std::int32_t>(begin) * kUnitBlocks,
            static_cast<std::int32_t>(end) * kUnitBlocks};
  }

  std::int32_t first_block, last_block;
  std::int32_t first_column;
  std::int32_t columns;
  std::size_t stride;  // of the piece's rows in scratch
};

FastExecutor::ThreadScratch::ThreadScratch(std::int32_t max_features, std::size_t piece_floats,
                                           const Options& options)
    : activations(kFewRows, max_features, options.isa, options.activation_bits),
      normed(static_cast<std::size_t>(kFewRows) * static_cast<std::size_t>(max_features)),
      first(piece_floats),
      second(piece_floats),
      peaks(kLogitRows) {}

FastExecutor::FastExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options)
    : spec_(spec),
      pool_(pool),
      kernels_(vector_kernels(options.isa)),
      profile_(options.profile),
      hidden_activations_(2 * std::max<std::int32_t>(options.max_batch_tokens, kLogitRows), spec.hidden_size,
                          options.isa, options.activation_bits),
      attention_activations_(options.max_batch_tokens, largest(spec).queries, options.isa,
                             options.activation_bits),
      mlp_activations_(options.max_batch_tokens, largest(spec).intermediate, options.isa,
                       options.activation_bits),
      max_rows_(options.max_batch_tokens) {
  for (const LayerGroup& group : spec.layer_groups)
    pages_.emplace_back(group, options.kv_format, options.touch_pages);
  const Sizes sizes = largest(spec);
  const auto rows = static_cast<std::size_t>(max_rows_);
  for (const RopeSpec& rope : spec.ropes) {
    ropes_.emplace_back(rope, spec.context_tokens);
    const std::size_t size = rows * rope.inverse_frequencies.size();
    rotations_.push_back({std::vector<float>(size), std::vector<float>(size)});
  }
  const auto hidden = static_cast<std::size_t>(spec.hidden_size);
  x_.resize(rows * hidden);
  normed_.resize(2 * std::max(rows, kLogitRows) * hidden);
  query_stride_ = sizes.queries + kRowPadding;
  queries_.resize(rows * static_cast<std::size_t>(query_stride_));
  attended_.resize(rows * static_cast<std::size_t>(sizes.queries));
  token_pages_.resize(rows * spec.layer_groups.size());
  const auto widest = static_cast<std::size_t>(std::max(sizes.head_dim, kActivationGroup));
  const std::size_t piece_floats = std::max<std::size_t>(kPieceFloats, 2 * rows * widest) +
                                   2 * std::max<std::size_t>(rows, kLogitRows) * kRowPadding;
  for (std::int32_t i = 0; i < pool.num_threads(); ++i) {
    threads_.push_back(
        std::make_unique<ThreadScratch>(std::max(spec.hidden_size, sizes.queries), piece_floats, options));
  }
}

void FastExecutor::plan_attention(const Options& options) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const AttentionSpec& attention = spec_.layers[i].attention;
    const auto same_shape = [&](std::size_t other) {
      const AttentionSpec& known = spec_.layers[other].attention;
      return known.num_heads == attention.num_heads && known.num_kv_heads == attention.num_kv_heads &&
             known.head_dim == attention.head_dim && known.layer_group == attention.layer_group;
    };
    const auto found = std::find_if(attention_layers_.begin(), attention_layers_.end(), same_shape);
    if (found == attention_layers_.end()) {
      const auto group = static_cast<std::size_t>(attention.layer_group);
      attention_layers_.push_back(i);
      attentions_.push_back(std::make_unique<PagedAttention>(
          PagedAttention::Options{.kernels = &kernels_,
                                  .pages = &pages_[group],
                                  .window_tokens = spec_.layer_groups[group].window_tokens,
                                  .num_threads = pool_.num_threads(),
                                  .max_batch_tokens = options.max_batch_tokens,
                                  .max_batch_sequences = options.max_batch_sequences,
                                  .context_tokens = spec_.context_tokens,
                                  .num_heads = attention.num_heads,
                                  .num_kv_heads = attention.num_kv_heads,
                                  .head_dim = attention.head_dim}));
      layers_[i].attention = attentions_.back().get();
    } else {
      layers_[i].attention = attentions_[static_cast<std::size_t>(found - attention_layers_.begin())].get();
    }
  }
}

Result<std::unique_ptr<FastExecutor>> FastExecutor::load(const ModelSpec& spec, const WeightMap& weights,
                                                         ThreadPool& pool, const Options& options) {
  TRY(check_supported(spec));
  std::unique_ptr<FastExecutor> executor(new FastExecutor(spec, pool, options));
  executor->layers_.resize(spec.layers.size());
  executor->plan_attention(options);
  TRY(executor->load_weights(weights, options));
  if (options.profile != nullptr) executor->plan_profile();
  return executor;
}

bool FastExecutor::splits(const Linear& linear) const {
  return takes_integers(linear) && hidden_activations_.bits() == 8;
}

void FastExecutor::plan_profile() {
  const auto planes = [this](const Linear& linear) {
    return takes_integers(linear) ? hidden_activations_.bits() / 8 : 1;
  };
  const auto passes = [&](const Linear& linear) { return splits(linear) ? 2 : planes(linear); };
  work_ = StepWork(spec_, pages_);
  for (const Layer& layer : layers_) {
    work_.add_product(StepStage::kQkv, layer.qkv, passes(layer.qkv));
    work_.add_product(StepStage::kOutput, layer.o_proj, planes(layer.o_proj));
    work_.add_product(StepStage::kGateUp, layer.gate_proj, planes(layer.gate_proj));
    work_.add_product(StepStage::kGateUp, layer.up_proj, planes(layer.up_proj));
    work_.add_product(StepStage::kDown, layer.down_proj, planes(layer.down_proj));
  }
  work_.add_product(StepStage::kVocabulary, lm_head_, passes(lm_head_));
}

namespace {

/// A layer to pack.
struct PackingJob {
  std::vector<LinearSpec> parts;
  Linear* linear;
};

/// Some blocks of a job.
struct PackingPiece {
  std::size_t job = 0;
  std::int32_t first_block = 0;
  std::int32_t last_block = 0;
};

/// Packs all jobs on all threads, in pieces of a few megabytes, so that no large matrix holds up the end.
Result<void> pack_all(std::span<const PackingJob> jobs, const WeightMap& weights, ThreadPool& pool,
                      const FastExecutor::Options& options) {
  std::vector<LinearPacking> packings;
  std::vector<PackingPiece> pieces;
  std::vector<std::atomic<std::int32_t>> pieces_left(jobs.size());
  for (std::size_t job = 0; job < jobs.size(); ++job) {
    packings.push_back(TRY(LinearPacking::create(jobs[job].parts, weights, options.isa)));
    const LinearPacking& packing = packings.back();
    const auto step = static_cast<std::int32_t>(
        std::clamp<std::size_t>(kPackingPieceBytes / std::max<std::size_t>(1, packing.block_bytes()), 1,
                                static_cast<std::size_t>(packing.num_blocks())));
    for (std::int32_t first = 0; first < packing.num_blocks(); first += step) {
      pieces.push_back({job, first, std::min(first + step, packing.num_blocks())});
      pieces_left[job].fetch_add(1, std::memory_order_relaxed);
    }
  }
  std::vector<std::optional<Error>> errors(pieces.size());
  std::atomic<std::size_t> num_done{0};
  std::atomic<bool> failed{false};
  const auto pack = [&](const PackingPiece& piece) -> Result<void> {
    LinearPacking& packing = packings[piece.job];
    if (piece.first_block == 0 && piece.job + 1 < packings.size()) packings[piece.job + 1].prefetch();
    TRY(packing.pack_blocks(piece.first_block, piece.last_block));
    // The last one sees what all others have packed.
    if (pieces_left[piece.job].fetch_sub(1, std::memory_order_acq_rel) == 1)
      *jobs[piece.job].linear = TRY(packing.finish());
    return {};
  };
  pool.parallel_for(static_cast<std::int64_t>(pieces.size()), 1,
                    [&](std::int64_t index, std::int64_t, std::int32_t thread) {
                      if (failed.load(std::memory_order_relaxed)) return;
                      if (Result<void> packed = pack(pieces[static_cast<std::size_t>(index)]); !packed.ok()) {
                        errors[static_cast<std::size_t>(index)] = packed.take_error();
                        failed.store(true, std::memory_order_relaxed);
                        return;
                      }
                      const std::size_t done = num_done.fetch_add(1, std::memory_order_relaxed) + 1;
                      if (thread == 0 && options.progress)
                        options.progress(static_cast<float>(done) / static_cast<float>(pieces.size() + 1));
                    });
  for (std::optional<Error>& error : errors) {
    if (error) return *std::move(error);
  }
  return {};
}

}  // namespace

Result<void> FastExecutor::load_weights(const WeightMap& weights, const Options& options) {
  std::vector<PackingJob> jobs;
  jobs.push_back({{spec_.lm_head}, &lm_head_});
  if (!spec_.tied_embeddings) jobs.push_back({{spec_.embedding}, &embedding_});
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const LayerSpec& from = spec_.layers[i];
    Layer& to = layers_[i];
    jobs.push_back({{from.mlp.down_proj}, &to.down_proj});
    jobs.push_back({{from.mlp.gate_proj}, &to.gate_proj});
    jobs.push_back({{from.mlp.up_proj}, &to.up_proj});
    jobs.push_back({{from.attention.o_proj}, &to.o_proj});
    jobs.push_back({{from.attention.q_proj, from.attention.k_proj, from.attention.v_proj}, &to.qkv});
    to.qkv_bias = TRY(take_bias(jobs.back().parts, weights));
    to.attention_norm = TRY(read_norm(from.attention_norm, weights));
    to.mlp_norm = TRY(read_norm(from.mlp_norm, weights));
  }
  lm_head_bias_ = TRY(take_bias(jobs.front().parts, weights));
  final_norm_ = TRY(read_norm(spec_.final_norm, weights));
  TRY(pack_all(jobs, weights, pool_, options));
  hidden_forms_ = lm_head_.activation_forms();
  attention_forms_ = layers_.front().o_proj.activation_forms();
  mlp_forms_ = layers_.front().down_proj.activation_forms();
  for (const Layer& layer : layers_) {
    for (const Linear* linear : {&layer.qkv, &layer.gate_proj, &layer.up_proj}) {
      hidden_forms_ = hidden_forms_ | linear->activation_forms();
    }
    attention_forms_ = attention_forms_ | layer.o_proj.activation_forms();
    mlp_forms_ = mlp_forms_ | layer.down_proj.activation_forms();
  }
  if (options.progress) options.progress(1.0F);
  return {};
}

std::size_t FastExecutor::weight_bytes() const {
  std::size_t bytes = lm_head_.memory_bytes() + final_norm_.size() * sizeof(float);
  if (!spec_.tied_embeddings) bytes += embedding_.memory_bytes();
  for (const Layer& layer : layers_) {
    for (const Linear* linear :
         {&layer.qkv, &layer.o_proj, &layer.gate_proj, &layer.up_proj, &layer.down_proj}) {
      bytes += linear->memory_bytes();
    }
    bytes += (layer.attention_norm.size() + layer.mlp_norm.size()) * sizeof(float);
  }
  return bytes;
}

std::size_t FastExecutor::scratch_bytes() const {
  std::size_t bytes = (x_.size() + normed_.size() + queries_.size() + attended_.size()) * sizeof(float) +
                      hidden_activations_.memory_bytes() + attention_activations_.memory_bytes() +
                      mlp_activations_.memory_bytes();
  for (const auto& attention : attentions_) bytes += attention->memory_bytes();
  for (const Rotation& rotation : rotations_) bytes += 2 * rotation.cosines.size() * sizeof(float);
  for (const auto& thread : threads_) {
    bytes += thread->activations.memory_bytes() +
             (thread->normed.size() + thread->first.size() + thread->second.size()) * sizeof(float);
  }
  return bytes;
}

void FastExecutor::forward(const StepInput& step) {
  rows_ = static_cast<std::int32_t>(step.tokens.size());
  if (rows_ == 0) return;
  for (std::size_t i = 0; i < attentions_.size(); ++i) {
    attentions_[i]->plan(step, spec_.layers[attention_layers_[i]].attention);
  }
  if (profile_ != nullptr) {
    work_.count_forward(step, *profile_);
    profile_->fork(StepStage::kPrepare);
  }
  pool_.run([&](std::int32_t thread) {
    end_stage(thread, StepStage::kWait);
    pool_.share(thread, rows_, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
      prepare_tokens(step, begin, end);
    });
    end_stage(thread, StepStage::kPrepare);
    barrier(thread);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) run_layer(step, layer, thread);
  });
  if (profile_ != nullptr) profile_->join();
}

/// Embeddings, rotations and page addresses of some tokens.
void FastExecutor::prepare_tokens(const StepInput& step, std::int64_t begin, std::int64_t end) {
  const Linear& embedding = spec_.tied_embeddings ? lm_head_ : embedding_;
  for (auto token = static_cast<std::size_t>(begin); token < static_cast<std::size_t>(end); ++token) {
    embedding.dequantize_row(step.tokens[token],
                             x_.data() + token * static_cast<std::size_t>(spec_.hidden_size));
    const std::int32_t position = step.positions[token];
    for (std::size_t i = 0; i < ropes_.size(); ++i) {
      const std::size_t offset = token * static_cast<std::size_t>(ropes_[i].num_pairs());
      ropes_[i].fill(position, rotations_[i].cosines.data() + offset, rotations_[i].sines.data() + offset);
    }
    const BatchSequence& sequence =
        step.batch->sequences[static_cast<std::size_t>(step.sequence_indices[token])];
    for (std::size_t group = 0; group < spec_.layer_groups.size(); ++group) {
      const auto entry = static_cast<std::size_t>(sequence.page_tables[group].begin + position / kPageTokens);
      token_pages_[group * static_cast<std::size_t>(max_rows_) + token] = step.batch->page_ids[entry];
    }
  }
}

void FastExecutor::run_layer(const StepInput& step, std::size_t index, std::int32_t thread) {
  Layer& layer = layers_[index];
  const LayerSpec& spec = spec_.layers[index];
  const std::int32_t queries = spec.attention.num_heads * spec.attention.head_dim;

  // Errors of queries and keys grow in the exponentials of their scores: these get 16-bit activations.
  const bool split = splits(layer.qkv);
  const Activations& normed = normalize(layer.attention_norm, spec.attention_norm.eps, split, thread);
  project_heads(step, index, normed, thread);
  // Between two barriers nobody reads these two.
  if (thread == 0) {
    attention_activations_.reset(rows_, queries, attention_forms_);
    mlp_activations_.reset(rows_, spec.mlp.gate_proj.out_features, mlp_forms_);
  }
  end_stage(thread, StepStage::kQkv);
  barrier(thread);

  const AttentionLayer work{&spec.attention, queries_.data(), query_stride_, attended_.data()};
  pool_.share(thread, layer.attention->num_items(), 1, [&](std::int64_t item, std::int64_t, std::int32_t) {
    layer.attention->run(static_cast<std::int32_t>(item), step, work, thread);
  });
  end_stage(thread, StepStage::kAttention);
  barrier(thread);

  add_product(layer.o_proj, quantize_attended(queries, thread), thread);
  end_stage(thread, StepStage::kOutput);
  barrier(thread);

  run_mlp(index, normalize(layer.mlp_norm, spec.mlp_norm.eps, false, thread), thread);
  end_stage(thread, StepStage::kGateUp);
  barrier(thread);

  add_product(layer.down_proj, mlp_activations_, thread);
  end_stage(thread, StepStage::kDown);
  barrier(thread);
}

void FastExecutor::project_heads(const StepInput& step, std::size_t index, const Activations& input,
                                 std::int32_t thread) {
  const AttentionSpec& attention = spec_.layers[index].attention;
  const Linear& qkv = layers_[index].qkv;
  const std::int32_t blocks_per_head = attention.head_dim / kBlockRows;
  const std::int64_t num_heads = attention.num_heads + 2 * attention.num_kv_heads;
  const std::int64_t cached = kPieceFloats / (std::int64_t{input.rows()} * attention.head_dim);
  const std::int64_t balanced = num_heads / (pool_.num_threads() * kPiecesPerThread);
  ThreadScratch& scratch = *threads_[static_cast<std::size_t>(thread)];
  pool_.share(thread, num_heads, std::max<std::int64_t>(1, std::min(balanced, cached)),
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                const Piece piece(qkv, static_cast<std::int32_t>(begin) * blocks_per_head,
                                  static_cast<std::int32_t>(end) * blocks_per_head);
                apply_piece(qkv, input, rows_, piece, scratch.first);
                add_bias(layers_[index].qkv_bias, rows_, piece, scratch.first);
                for (std::int64_t head = begin; head < end; ++head) {
                  write_head(step, attention, static_cast<std::int32_t>(head),
                             scratch.first.data() + (head - begin) * attention.head_dim, piece.stride);
                }
              });
}

/// Takes a head of all tokens, rows `stride` apart: rotates and scales queries, rotates keys, and stores
/// queries for the attention, keys and values in their pages.
void FastExecutor::write_head(const StepInput& step, const AttentionSpec& attention, std::int32_t head,
                              float* rows, std::size_t stride) {
  const std::int32_t head_dim = attention.head_dim;
  const bool is_query = head < attention.num_heads;
  const bool is_key = !is_query && head < attention.num_heads + attention.num_kv_heads;
  const std::int32_t kv_head = (head - attention.num_heads) % attention.num_kv_heads;
  const auto group = static_cast<std::size_t>(attention.layer_group);
  const PageId* pages = token_pages_.data() + group * static_cast<std::size_t>(max_rows_);
  const KvPages& kv = pages_[group];
  for (std::int32_t token = 0; token < rows_; ++token) {
    float* values = rows + static_cast<std::size_t>(token) * stride;
    if ((is_query || is_key) && attention.rope) {
      const auto rope = static_cast<std::size_t>(*attention.rope);
      const std::int32_t pairs = ropes_[rope].num_pairs();
      const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(token) * pairs;
      kernels_.rotate(values, rotations_[rope].cosines.data() + offset,
                      rotations_[rope].sines.data() + offset, pairs, ropes_[rope].traditional());
    }
    if (is_query) {
      float* query = queries_.data() + token * query_stride_ + head * head_dim;
      kernels_.scale(values, attention.scale, query, head_dim);
      continue;
    }
    std::byte* block = kv.block(pages[token], attention.index_in_group, kv_head);
    const std::int32_t slot = step.positions[static_cast<std::size_t>(token)] % kPageTokens;
    if (is_key) {
      write_key(kernels_, kv.layout(), block, slot, values);
    } else {
      write_value(kernels_, kv.layout(), block, slot, values);
    }
  }
}

/// A piece of a product for `rows` rows; if the input has them twice, split in two, the sum of both halves.
void FastExecutor::apply_piece(const Linear& linear, const Activations& input, std::int32_t rows,
                               const Piece& piece, std::vector<float>& out) const {
  linear.apply(input, piece.first_block, piece.last_block, column_zero(out.data(), piece.first_column),
               static_cast<std::ptrdiff_t>(piece.stride));
  for (std::int32_t row = rows; row < input.rows(); ++row) {
    const float* low = out.data() + static_cast<std::size_t>(row) * piece.stride;
    kernels_.add_to(low, out.data() + static_cast<std::size_t>(row - rows) * piece.stride, piece.columns);
  }
}

/// Adds a bias, if there is one, to the piece's columns of `rows` rows.
void FastExecutor::add_bias(const std::vector<float>& bias, std::int32_t rows, const Piece& piece,
                            std::vector<float>& out) const {
  if (bias.empty()) return;
  for (std::int32_t row = 0; row < rows; ++row) {
    kernels_.add_to(bias.data() + piece.first_column,
                    out.data() + static_cast<std::size_t>(row) * piece.stride, piece.columns);
  }
}

void FastExecutor::run_mlp(std::size_t index, const Activations& input, std::int32_t thread) {
  const Layer& layer = layers_[index];
  const Activation activation = spec_.layers[index].mlp.activation;
  const std::int64_t units = num_units(layer.gate_proj);
  ThreadScratch& scratch = *threads_[static_cast<std::size_t>(thread)];
  pool_.share(thread, units, piece_units(units, kPiecesPerThread, rows_),
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                const Piece piece = Piece::of_units(layer.gate_proj, begin, end);
                apply_piece(layer.gate_proj, input, rows_, piece, scratch.first);
                apply_piece(layer.up_proj, input, rows_, piece, scratch.second);
                for (std::size_t row = 0; row < static_cast<std::size_t>(rows_); ++row) {
                  float* values = scratch.first.data() + row * piece.stride;
                  kernels_.gate(activation, values, scratch.second.data() + row * piece.stride, values,
                                piece.columns);
                }
                mlp_activations_.fill(column_zero(scratch.first.data(), piece.first_column),
                                      static_cast<std::ptrdiff_t>(piece.stride),
                                      static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end));
              });
}

void FastExecutor::add_product(const Linear& linear, const Activations& input, std::int32_t thread) {
  const std::int64_t units = num_units(linear);
  ThreadScratch& scratch = *threads_[static_cast<std::size_t>(thread)];
  pool_.share(thread, units, piece_units(units, kPiecesPerThread, rows_),
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                const Piece piece = Piece::of_units(linear, begin, end);
                apply_piece(linear, input, rows_, piece, scratch.first);
                for (std::size_t row = 0; row < static_cast<std::size_t>(rows_); ++row) {
                  kernels_.add_to(
                      scratch.first.data() + row * piece.stride,
                      x_.data() + row * static_cast<std::size_t>(spec_.hidden_size) + piece.first_column,
                      piece.columns);
                }
              });
}

/// Units in a piece: few enough that pieces balance, few enough that their outputs stay in cache.
std::int64_t FastExecutor::piece_units(std::int64_t units, std::int64_t pieces_per_thread,
                                       std::int32_t rows) const {
  const std::int64_t balanced = units / (pool_.num_threads() * pieces_per_thread);
  const std::int64_t cached = kPieceFloats / (std::int64_t{rows} * kActivationGroup);
  return std::max<std::int64_t>(1, std::min(balanced, cached));
}

bool FastExecutor::few_rows(std::int32_t rows, std::int32_t features) {
  return rows <= kFewRows && rows * features <= kFewElements;
}

/// attended_ in the form of a product's input; every thread must call it.
const Activations& FastExecutor::quantize_attended(std::int32_t features, std::int32_t thread) {
  if (few_rows(rows_, features)) {
    Activations& own = threads_[static_cast<std::size_t>(thread)]->activations;
    own.reset(rows_, features, attention_forms_);
    own.fill(attended_.data(), features, 0, num_groups(features));
    end_stage(thread, StepStage::kNorm);
    return own;
  }
  pool_.share(thread, num_groups(features), 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    attention_activations_.fill(attended_.data(), features, static_cast<std::int32_t>(begin),
                                static_cast<std::int32_t>(end));
  });
  end_stage(thread, StepStage::kNorm);
  barrier(thread);
  return attention_activations_;
}

/// Normed x_ in the form of a product's input, each row twice if `split`; every thread must call it.
const Activations& FastExecutor::normalize(const std::vector<float>& weight, float eps, bool split,
                                           std::int32_t thread) {
  const std::int32_t hidden = spec_.hidden_size;
  const std::int32_t num_rows = split ? 2 * rows_ : rows_;
  if (few_rows(num_rows, hidden)) {
    ThreadScratch& own = *threads_[static_cast<std::size_t>(thread)];
    for (std::int32_t row = 0; row < rows_; ++row) {
      normalize_row(x_.data() + static_cast<std::size_t>(row) * weight.size(), weight, eps, split ? rows_ : 0,
                    row, own.normed.data());
    }
    own.activations.reset(num_rows, hidden, hidden_forms_);
    own.activations.fill(own.normed.data(), hidden, 0, num_groups(hidden));
    end_stage(thread, StepStage::kNorm);
    return own.activations;
  }
  pool_.share(thread, rows_, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row) {
      normalize_row(x_.data() + static_cast<std::size_t>(row) * weight.size(), weight, eps, split ? rows_ : 0,
                    row, normed_.data());
    }
  });
  // The product that read it last ended at least a barrier ago.
  if (thread == 0) hidden_activations_.reset(num_rows, hidden, hidden_forms_);
  end_stage(thread, StepStage::kNorm);
  barrier(thread);
  pool_.share(thread, num_groups(hidden), 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    hidden_activations_.fill(normed_.data(), hidden, static_cast<std::int32_t>(begin),
                             static_cast<std::int32_t>(end));
  });
  end_stage(thread, StepStage::kNorm);
  barrier(thread);
  return hidden_activations_;
}

/// Row `row` of out [.., hidden] = normed x; if `split_rows` is not 0, what int8 loses of it goes to the row
/// that much further on.
void FastExecutor::normalize_row(const float* x, const std::vector<float>& weight, float eps,
                                 std::int32_t split_rows, std::int32_t row, float* out) const {
  const std::int32_t hidden = spec_.hidden_size;
  float* to = out + static_cast<std::ptrdiff_t>(row) * hidden;
  kernels_.normalize(x, weight.data(), kernels_.inverse_rms(x, hidden, eps), to, hidden);
  if (split_rows > 0) kernels_.split(to, to, to + static_cast<std::ptrdiff_t>(split_rows) * hidden, hidden);
}

/// Normed rows of the tokens that sample. Logits are compared with each other, so their product gets 16-bit
/// activations; for the few rows there are that costs next to nothing.
void FastExecutor::prepare_logits(std::span<const std::int32_t> token_indices) {
  const auto num_rows = static_cast<std::int32_t>(token_indices.size());
  const std::int32_t hidden = spec_.hidden_size;
  const bool split = splits(lm_head_);
  for (std::int32_t row = 0; row < num_rows; ++row) {
    const auto token = static_cast<std::size_t>(token_indices[static_cast<std::size_t>(row)]);
    normalize_row(x_.data() + token * static_cast<std::size_t>(hidden), final_norm_, spec_.final_norm.eps,
                  split ? num_rows : 0, row, normed_.data());
  }
  hidden_activations_.reset(split ? 2 * num_rows : num_rows, hidden, lm_head_.activation_forms());
  hidden_activations_.fill(normed_.data(), hidden, 0, num_groups(hidden));
}

void FastExecutor::compute_logits(std::span<const std::int32_t> token_indices, float* logits,
                                  std::span<Peak> peaks, bool only_peaks) {
  CHECK(token_indices.size() <= kLogitRows && peaks.size() == token_indices.size());
  prepare_logits(token_indices);
  const std::size_t num_rows = token_indices.size();
  const std::int64_t units = num_units(lm_head_);
  for (const auto& thread : threads_) std::fill(thread->peaks.begin(), thread->peaks.end(), Peak{});
  const std::int64_t grain = piece_units(units, kVocabularyPiecesPerThread, hidden_activations_.rows());
  if (profile_ != nullptr) {
    work_.count_logits(num_rows, !only_peaks, *profile_);
    profile_->fork(StepStage::kVocabulary);
  }
  const auto multiply = [&](std::int64_t begin, std::int64_t end, std::int32_t thread) {
    ThreadScratch& scratch = *threads_[static_cast<std::size_t>(thread)];
    const Piece piece = Piece::of_units(lm_head_, begin, end);
    apply_piece(lm_head_, hidden_activations_, static_cast<std::int32_t>(num_rows), piece, scratch.first);
    add_bias(lm_head_bias_, static_cast<std::int32_t>(num_rows), piece, scratch.first);
    for (std::size_t row = 0; row < num_rows; ++row) {
      const float* out = scratch.first.data() + row * piece.stride;
      if (!only_peaks)
        std::copy_n(out, piece.columns,
                    logits + row * static_cast<std::size_t>(spec_.vocab_size) + piece.first_column);
      const std::int32_t index = kernels_.peak(out, piece.columns);
      if (index >= 0) raise(scratch.peaks[row], {out[index], piece.first_column + index});
    }
  };
  pool_.run([&](std::int32_t thread) {
    end_stage(thread, StepStage::kWait);
    pool_.share(thread, units, grain, multiply);
    end_stage(thread, StepStage::kVocabulary);
  });
  if (profile_ != nullptr) profile_->join();
  for (std::size_t row = 0; row < num_rows; ++row) {
    peaks[row] = {};
    for (const auto& thread : threads_) raise(peaks[row], thread->peaks[row]);
  }
}

}  // namespace mlxd
