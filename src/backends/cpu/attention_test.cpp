#include "backends/cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "backends/cpu/thread_pool.h"
#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

struct SequenceShape {
  std::int32_t first_position;
  std::int32_t num_tokens;
};

/// Random queries, keys and values of some sequences, with K/V in pages in random order; unused parts of
/// pages hold what would show in any result.
class Scene {
 public:
  Scene(std::int32_t num_heads, std::int32_t num_kv_heads, std::int32_t head_dim,
        std::vector<SequenceShape> shapes, std::uint32_t seed = 1)
      : generator_(seed) {
    spec_.num_heads = num_heads;
    spec_.num_kv_heads = num_kv_heads;
    spec_.head_dim = head_dim;
    group_.num_layers = 1;
    group_.num_kv_heads = num_kv_heads;
    group_.head_dim = head_dim;
    pages_ = std::make_unique<KvPages>(std::span(&group_, 1), sizeof(std::uint16_t));
    std::int32_t num_pages = 0;
    for (const SequenceShape& shape : shapes) num_pages += pages_of(shape);
    EXPECT_TRUE(pages_->allocate(num_pages).ok());
    std::vector<PageId> ids(static_cast<std::size_t>(num_pages));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<PageId>(i);
    std::shuffle(ids.begin(), ids.end(), generator_);
    for (const SequenceShape& shape : shapes) add(shape, ids);
    queries_.resize(positions_.size() * static_cast<std::size_t>(num_heads * head_dim));
    for (float& query : queries_) query = normal_(generator_);
  }

  /// [tokens, heads * head_dim].
  std::vector<float> attend(Isa isa, std::int32_t num_threads) const {
    ThreadPool pool(num_threads);
    PagedAttention attention({.kernels = &vector_kernels(isa),
                              .pages = pages_.get(),
                              .num_threads = num_threads,
                              .max_batch_tokens = static_cast<std::int32_t>(positions_.size()),
                              .max_batch_sequences = static_cast<std::int32_t>(batch_.sequences.size()),
                              .context_tokens = 4096,
                              .num_heads = spec_.num_heads,
                              .num_kv_heads = spec_.num_kv_heads,
                              .head_dim = spec_.head_dim});
    const StepInput step{&batch_, {}, positions_, sequence_indices_};
    std::vector<float> out(queries_.size());
    const AttentionLayer layer{&spec_, queries_.data(), spec_.num_heads * spec_.head_dim, out.data()};
    attention.plan(step, spec_);
    for (int round = 0; round < 2; ++round) {  // as two layers do
      std::fill(out.begin(), out.end(), std::nanf(""));
      pool.parallel_for(attention.num_items(), 1, [&](std::int64_t item, std::int64_t, std::int32_t thread) {
        attention.run(static_cast<std::int32_t>(item), step, layer, thread);
      });
    }
    return out;
  }

  /// The definition, in double precision.
  std::vector<float> expected() const {
    std::vector<float> out(queries_.size());
    const auto head_dim = static_cast<std::size_t>(spec_.head_dim);
    for (std::size_t token = 0; token < positions_.size(); ++token) {
      for (std::int32_t head = 0; head < spec_.num_heads; ++head) {
        const std::size_t row =
            (token * static_cast<std::size_t>(spec_.num_heads) + static_cast<std::size_t>(head)) * head_dim;
        std::vector<double> sums(head_dim);
        double total = 0;
        for (std::int32_t position = 0; position <= positions_[token]; ++position) {
          const std::uint16_t* block =
              block_of(token, position, head / (spec_.num_heads / spec_.num_kv_heads));
          const auto slot = static_cast<std::size_t>(position % kPageTokens);
          double score = 0;
          for (std::size_t d = 0; d < head_dim; ++d) {
            score += static_cast<double>(queries_[row + d]) * value(block[d * kPageTokens + slot]);
          }
          const double weight = std::exp(score);
          total += weight;
          for (std::size_t d = 0; d < head_dim; ++d) {
            sums[d] += weight * value(block[(kPageTokens + slot) * head_dim + d]);
          }
        }
        for (std::size_t d = 0; d < head_dim; ++d) out[row + d] = static_cast<float>(sums[d] / total);
      }
    }
    return out;
  }

 private:
  static std::int32_t pages_of(const SequenceShape& shape) {
    return (shape.first_position + shape.num_tokens + kPageTokens - 1) / kPageTokens;
  }
  static double value(std::uint16_t half) { return static_cast<double>(ScalarVector::half_to_float(half)); }

  const std::uint16_t* block_of(std::size_t token, std::int32_t position, std::int32_t kv_head) const {
    const BatchSequence& sequence = batch_.sequences[static_cast<std::size_t>(sequence_indices_[token])];
    const auto entry = static_cast<std::size_t>(sequence.page_tables[0].begin + position / kPageTokens);
    return reinterpret_cast<const std::uint16_t*>(pages_->block(batch_.page_ids[entry], 0, 0, kv_head));
  }

  void add(const SequenceShape& shape, std::vector<PageId>& ids) {
    BatchSequence sequence;
    sequence.first_token = static_cast<std::int32_t>(positions_.size());
    sequence.num_tokens = shape.num_tokens;
    sequence.first_position = shape.first_position;
    sequence.page_tables[0] = {static_cast<std::int32_t>(batch_.page_ids.size()), pages_of(shape)};
    const auto head_dim = static_cast<std::size_t>(spec_.head_dim);
    for (std::int32_t i = 0; i < pages_of(shape); ++i) {
      const PageId page = ids.back();
      ids.pop_back();
      batch_.page_ids.push_back(page);
      for (std::int32_t head = 0; head < spec_.num_kv_heads; ++head) {
        auto* block = reinterpret_cast<std::uint16_t*>(pages_->block(page, 0, 0, head));
        std::fill(block, block + 2 * kPageTokens * head_dim, std::uint16_t{0x7E00});  // NaN
        for (std::size_t slot = 0; slot < kPageTokens; ++slot) {
          const std::int32_t position = i * kPageTokens + static_cast<std::int32_t>(slot);
          if (position >= shape.first_position + shape.num_tokens) break;
          for (std::size_t d = 0; d < head_dim; ++d) {
            block[d * kPageTokens + slot] = ScalarVector::float_to_half(0.4F * normal_(generator_));
            block[(kPageTokens + slot) * head_dim + d] = ScalarVector::float_to_half(normal_(generator_));
          }
        }
      }
    }
    for (std::int32_t t = 0; t < shape.num_tokens; ++t) {
      positions_.push_back(shape.first_position + t);
      sequence_indices_.push_back(static_cast<std::int32_t>(batch_.sequences.size()));
    }
    batch_.sequences.push_back(sequence);
  }

  std::mt19937 generator_;
  std::normal_distribution<float> normal_{0.0F, 1.0F};
  AttentionSpec spec_;
  LayerGroup group_;
  std::unique_ptr<KvPages> pages_;
  StepBatch batch_;
  std::vector<std::int32_t> positions_, sequence_indices_;
  std::vector<float> queries_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(PagedAttention, MatchesTheDefinitionOnEveryInstructionSet) {
  const auto check = [](std::int32_t heads, std::int32_t kv_heads, std::int32_t head_dim,
                        const std::vector<SequenceShape>& shapes) {
    const Scene scene(heads, kv_heads, head_dim, shapes);
    const std::vector<float> expected = scene.expected();
    const std::vector<float> scalar = scene.attend(Isa::kScalar, 1);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(scalar[i], expected[i], 2e-5) << i;
    for (const Isa isa : available_isas()) {
      SCOPED_TRACE(to_string(isa));
      for (const std::int32_t threads : {1, 2, 3}) EXPECT_TRUE(same_bits(scene.attend(isa, threads), scalar));
    }
  };
  check(9, 3, 64, {{0, 1}, {31, 1}, {32, 1}, {255, 1}, {256, 1}, {700, 1}});
  check(4, 4, 16, {{0, 70}});
  check(8, 1, 80, {{250, 20}});
  check(4, 2, 96, {{500, 30}, {12, 1}});
  check(2, 1, 128, {{0, 3}, {1030, 1}});
  check(2, 2, 256, {{260, 2}});
}

TEST(PagedAttention, ALongContextHasTheSameBitsHoweverItIsSplit) {
  const Scene scene(3, 1, 32, {{3000, 1}});
  const std::vector<float> whole = scene.attend(default_isa(), 1);
  for (const std::int32_t threads : {2, 4, 8})
    EXPECT_TRUE(same_bits(scene.attend(default_isa(), threads), whole));
}

}  // namespace
}  // namespace mlxd
