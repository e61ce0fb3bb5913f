#include "backends/cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "backends/cpu/thread_pool.h"
#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

constexpr KvFormat kFormats[] = {KvFormat::kFloat16, KvFormat::kBFloat16, KvFormat::kInt8,
                                 KvFormat::kFloat32};

struct SequenceShape {
  std::int32_t first_position;
  std::int32_t num_tokens;
};

struct Pages {
  KvFormat format = KvFormat::kFloat16;
  std::int32_t window_tokens = 0;
};

/// Random queries, keys and values of some sequences, with K/V in pages in random order; unused parts of
/// pages hold what would show in any result, and pages that no query sees don't exist.
class Scene {
 public:
  Scene(std::int32_t num_heads, std::int32_t num_kv_heads, std::int32_t head_dim,
        std::vector<SequenceShape> shapes, Pages kind = {}, std::uint32_t seed = 1)
      : generator_(seed) {
    spec_.num_heads = num_heads;
    spec_.num_kv_heads = num_kv_heads;
    spec_.head_dim = head_dim;
    group_.num_layers = 1;
    group_.num_kv_heads = num_kv_heads;
    group_.head_dim = head_dim;
    group_.window_tokens = kind.window_tokens;
    pages_ = std::make_shared<KvPages>(group_, kind.format);
    std::int32_t num_pages = 0;
    for (const SequenceShape& shape : shapes) num_pages += pages_of(shape);
    EXPECT_TRUE(pages_->resize(num_pages).ok());
    std::vector<PageId> ids(static_cast<std::size_t>(num_pages));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<PageId>(i);
    std::shuffle(ids.begin(), ids.end(), generator_);
    for (const SequenceShape& shape : shapes) add(shape, ids);
    queries_.resize(positions_.size() * static_cast<std::size_t>(num_heads * head_dim));
    for (float& query : queries_) query = normal_(generator_);
  }

  /// The same K/V, of one sequence, with queries from `first_position` on only.
  Scene tail(std::int32_t first_position) const {
    Scene scene = *this;
    BatchSequence& sequence = scene.batch_.sequences.front();
    const std::ptrdiff_t gone = first_position - sequence.first_position;
    sequence.num_tokens -= static_cast<std::int32_t>(gone);
    sequence.first_position = first_position;
    scene.positions_.erase(scene.positions_.begin(), scene.positions_.begin() + gone);
    scene.sequence_indices_.resize(scene.positions_.size());
    scene.queries_.erase(scene.queries_.begin(),
                         scene.queries_.begin() + gone * spec_.num_heads * spec_.head_dim);
    std::fill_n(scene.batch_.page_ids.begin(), first_key(first_position) / kPageTokens, kNoPage);
    return scene;
  }

  /// [tokens, heads * head_dim].
  std::vector<float> attend(Isa isa, std::int32_t num_threads) const {
    ThreadPool pool(num_threads);
    PagedAttention attention({.kernels = &vector_kernels(isa),
                              .pages = pages_.get(),
                              .window_tokens = group_.window_tokens,
                              .num_threads = num_threads,
                              .max_batch_tokens = static_cast<std::int32_t>(positions_.size()),
                              .max_batch_sequences = static_cast<std::int32_t>(batch_.sequences.size()),
                              .context_tokens = 4096,
                              .num_heads = spec_.num_heads,
                              .num_kv_heads = spec_.num_kv_heads,
                              .head_dim = spec_.head_dim});
    const StepInput step{&batch_, batch_.sequences, {}, positions_, sequence_indices_};
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
        for (std::int32_t position = first_key(positions_[token]); position <= positions_[token];
             ++position) {
          const std::byte* block = block_of(token, position, head / (spec_.num_heads / spec_.num_kv_heads));
          const auto slot = static_cast<std::size_t>(position % kPageTokens);
          double score = 0;
          for (std::size_t d = 0; d < head_dim; ++d) {
            score += static_cast<double>(queries_[row + d]) * element(block, d * kPageTokens + slot, slot);
          }
          const double weight = std::exp(score);
          total += weight;
          for (std::size_t d = 0; d < head_dim; ++d) {
            sums[d] += weight * element(block, (kPageTokens + slot) * head_dim + d, kPageTokens + slot);
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
  std::int32_t first_key(std::int32_t position) const {
    return group_.window_tokens > 0 ? std::max(0, position - group_.window_tokens + 1) : 0;
  }

  /// Element `index` of a block, whose scale, if there is one, is that of `row`.
  double element(const std::byte* block, std::size_t index, std::size_t row) const {
    const auto at = [&]<typename Element>(Element, const std::byte* from, std::size_t i) {
      Element value;
      std::memcpy(&value, from + i * sizeof(Element), sizeof(Element));
      return value;
    };
    switch (pages_->layout().format) {
      case KvFormat::kFloat16:
        return static_cast<double>(ScalarVector::half_to_float(at(std::uint16_t{}, block, index)));
      case KvFormat::kBFloat16:
        return static_cast<double>(ScalarVector::bfloat_to_float(at(std::uint16_t{}, block, index)));
      case KvFormat::kInt8:
        return static_cast<double>(at(std::int8_t{}, block, index)) *
               static_cast<double>(at(float{}, block + pages_->layout().scales_offset, row));
      case KvFormat::kFloat32:
        return static_cast<double>(at(float{}, block, index));
    }
    return 0;
  }

  const std::byte* block_of(std::size_t token, std::int32_t position, std::int32_t kv_head) const {
    const BatchSequence& sequence = batch_.sequences[static_cast<std::size_t>(sequence_indices_[token])];
    const auto entry = static_cast<std::size_t>(sequence.page_tables[0].begin + position / kPageTokens);
    return pages_->block(batch_.page_ids[entry], 0, kv_head);
  }

  void add(const SequenceShape& shape, std::vector<PageId>& ids) {
    BatchSequence sequence;
    sequence.first_token = static_cast<std::int32_t>(positions_.size());
    sequence.num_tokens = shape.num_tokens;
    sequence.first_position = shape.first_position;
    sequence.page_tables[0] = {static_cast<std::int32_t>(batch_.page_ids.size()), pages_of(shape)};
    const auto head_dim = static_cast<std::size_t>(spec_.head_dim);
    for (std::int32_t i = 0; i < pages_of(shape); ++i) {
      if (i < first_key(shape.first_position) / kPageTokens) {
        batch_.page_ids.push_back(kNoPage);
        continue;
      }
      const PageId page = ids.back();
      ids.pop_back();
      batch_.page_ids.push_back(page);
      for (std::int32_t head = 0; head < spec_.num_kv_heads; ++head) {
        std::byte* block = pages_->block(page, 0, head);
        std::memset(block, 0xFF, pages_->layout().num_bytes);  // NaN in every format but int8, and its scales
        std::vector<float> key(head_dim);
        std::vector<float> value(head_dim);
        for (std::int32_t slot = 0; slot < kPageTokens; ++slot) {
          const std::int32_t position = i * kPageTokens + slot;
          if (position >= shape.first_position + shape.num_tokens) break;
          for (float& x : key) x = 0.4F * normal_(generator_);
          for (float& x : value) x = normal_(generator_);
          write_key(vector_kernels(Isa::kScalar), pages_->layout(), block, slot, key.data());
          write_value(vector_kernels(Isa::kScalar), pages_->layout(), block, slot, value.data());
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
  std::shared_ptr<KvPages> pages_;
  StepBatch batch_;
  std::vector<std::int32_t> positions_, sequence_indices_;
  std::vector<float> queries_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(PagedAttention, MatchesTheDefinitionOnEveryInstructionSet) {
  const auto check = [](std::int32_t heads, std::int32_t kv_heads, std::int32_t head_dim,
                        const std::vector<SequenceShape>& shapes, std::int32_t window_tokens = 0) {
    for (const KvFormat format : kFormats) {
      SCOPED_TRACE(to_string(format));
      const Scene scene(heads, kv_heads, head_dim, shapes, {format, window_tokens});
      const std::vector<float> expected = scene.expected();
      const std::vector<float> scalar = scene.attend(Isa::kScalar, 1);
      for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(scalar[i], expected[i], 2e-5) << i;
      for (const Isa isa : vector_isas()) {
        if (isa == Isa::kScalar) continue;
        SCOPED_TRACE(to_string(isa));
        for (const std::int32_t threads : {1, 2, 3})
          EXPECT_TRUE(same_bits(scene.attend(isa, threads), scalar));
      }
    }
  };
  check(9, 3, 64, {{0, 1}, {31, 1}, {32, 1}, {255, 1}, {256, 1}, {700, 1}});
  check(4, 4, 16, {{0, 70}});
  check(8, 1, 80, {{250, 20}});
  check(4, 2, 96, {{500, 30}, {12, 1}});
  check(2, 1, 128, {{0, 3}, {1030, 1}});
  check(2, 2, 256, {{260, 2}});
  // Windows: of one key, within a vector, a page, a segment, over several, at and beside all their bounds.
  check(2, 1, 16, {{0, 3}, {40, 2}, {254, 4}}, 1);
  check(3, 1, 32, {{0, 20}, {27, 1}, {253, 9}, {512, 1}}, 5);
  check(4, 2, 16, {{0, 70}, {250, 40}, {287, 1}, {288, 1}, {320, 1}}, 33);
  check(2, 1, 64, {{240, 30}, {511, 1}, {512, 2}, {700, 10}}, 256);
  check(3, 1, 16, {{200, 140}, {1700, 1}, {1791, 3}}, 300);
  check(2, 1, 16, {{0, 40}, {600, 3}}, 1000);
}

TEST(PagedAttention, ALongContextHasTheSameBitsHoweverItIsSplit) {
  for (const std::int32_t window_tokens : {0, 1500}) {
    for (const KvFormat format : kFormats) {
      const Scene scene(3, 1, 32, {{3000, 1}}, {format, window_tokens});
      const std::vector<float> whole = scene.attend(default_isa(), 1);
      for (const std::int32_t threads : {2, 4, 8})
        EXPECT_TRUE(same_bits(scene.attend(default_isa(), threads), whole));
    }
  }
}

/// Results of the last `count` rows.
std::vector<float> last_rows(const std::vector<float>& out, std::int32_t count, std::int32_t row_size) {
  return {out.end() - std::ptrdiff_t{count} * row_size, out.end()};
}

TEST(PagedAttention, ARowDoesNotDependOnTheRowsBesideIt) {
  for (const std::int32_t window_tokens : {0, 7, 40, 270}) {
    for (const KvFormat format : {KvFormat::kFloat16, KvFormat::kInt8}) {
      const Scene whole(6, 2, 32, {{0, 560}}, {format, window_tokens});
      const std::vector<float> all = whole.attend(default_isa(), 2);
      for (const std::int32_t first : {1, 100, 255, 256, 300, 511, 533, 559}) {
        const std::vector<float> part = whole.tail(first).attend(default_isa(), 2);
        EXPECT_TRUE(same_bits(part, last_rows(all, 560 - first, 6 * 32)))
            << to_string(format) << ", window " << window_tokens << ", from " << first;
      }
    }
  }
}

}  // namespace
}  // namespace mlxd
