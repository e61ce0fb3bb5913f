#include "backends/cpu/linear_loader.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "backends/cpu/dense_weights.h"

namespace mlxd {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{2} << 20U;
constexpr std::size_t kPiecesPerThread = 8;  // of one run of the pool: some milliseconds

/// Some blocks of a job.
struct Piece {
  std::size_t job = 0;
  std::int32_t first_block = 0;
  std::int32_t last_block = 0;
};

}  // namespace

Result<std::vector<float>> LinearLoader::add_without_bias(std::vector<LinearSpec> parts, Linear* linear) {
  std::vector<float> biases;
  bool any = false;
  for (LinearSpec& part : parts) {
    std::vector<float> bias = TRY(read_bias(part, weights_));
    any = any || part.has_bias;
    bias.resize(static_cast<std::size_t>(part.out_features));
    biases.insert(biases.end(), bias.begin(), bias.end());
    part.has_bias = false;
  }
  if (!any) biases.clear();
  add(std::move(parts), linear);
  return biases;
}

Result<void> LinearLoader::run(ThreadPool& pool, const LoadProgress& progress) {
  std::vector<LinearPacking> packings;
  std::vector<Piece> pieces;
  std::vector<std::atomic<std::int32_t>> pieces_left(jobs_.size());
  for (std::size_t job = 0; job < jobs_.size(); ++job) {
    packings.push_back(TRY(LinearPacking::create(jobs_[job].parts, weights_, isa_)));
    const LinearPacking& packing = packings.back();
    const auto step = static_cast<std::int32_t>(
        std::clamp<std::size_t>(kPieceBytes / std::max<std::size_t>(1, packing.block_bytes()), 1,
                                static_cast<std::size_t>(packing.num_blocks())));
    for (std::int32_t first = 0; first < packing.num_blocks(); first += step) {
      pieces.push_back({job, first, std::min(first + step, packing.num_blocks())});
      pieces_left[job].fetch_add(1, std::memory_order_relaxed);
    }
  }
  std::vector<std::optional<Error>> errors(pieces.size());
  std::atomic<bool> failed{false};
  const auto pack = [&](const Piece& piece) -> Result<void> {
    LinearPacking& packing = packings[piece.job];
    if (piece.first_block == 0 && piece.job + 1 < packings.size()) packings[piece.job + 1].prefetch();
    TRY(packing.pack_blocks(piece.first_block, piece.last_block));
    // The last one sees what all others have packed.
    if (pieces_left[piece.job].fetch_sub(1, std::memory_order_acq_rel) == 1)
      *jobs_[piece.job].linear = TRY(packing.finish());
    return {};
  };
  const auto pack_piece = [&](std::size_t index) {
    if (failed.load(std::memory_order_relaxed)) return;
    if (Result<void> packed = pack(pieces[index]); !packed.ok()) {
      errors[index] = packed.take_error();
      failed.store(true, std::memory_order_relaxed);
    }
  };
  const std::size_t batch = kPiecesPerThread * static_cast<std::size_t>(pool.num_threads());
  for (std::size_t first = 0; first < pieces.size() && !failed; first += batch) {
    if (progress && !progress(static_cast<float>(first) / static_cast<float>(pieces.size() + 1)))
      return load_stopped();
    const std::size_t count = std::min(batch, pieces.size() - first);
    pool.parallel_for(static_cast<std::int64_t>(count), 1,
                      [&](std::int64_t index, std::int64_t, std::int32_t) {
                        pack_piece(first + static_cast<std::size_t>(index));
                      });
  }
  for (std::optional<Error>& error : errors) {
    if (error) return *std::move(error);
  }
  if (progress && !progress(1.0F)) return load_stopped();
  return {};
}

}  // namespace mlxd
