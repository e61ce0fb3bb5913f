// Whole steps of the CPU backend on a model folder: prefill of 512 tokens and decoding of 1 … 16 sequences
// together, greedy, in the engine's way but without it. Prints the best of several rounds: tokens/s, and what
// one step takes. `beside`: what a piece of a prompt costs beside four decodes, in one step and in slices of
// layers.
//
//   step_bench FOLDER [--threads N] [--isa NAME] [--kv NAME] [--rounds N] [--context N] [--only
//   prefill|decode|beside]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"

namespace mlxd {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string folder;
  CpuOptions options;
  int rounds = 5;
  std::int32_t context = 128;  // tokens before the decoded ones
  std::string only;
};

constexpr std::int32_t kPromptTokens = 512;
constexpr std::int32_t kDecodeSteps = 32;
constexpr std::int32_t kMaxSequences = 16;
constexpr std::int32_t kMostBeside = 256;  // tokens of a piece beside decodes

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "step_bench: %s\n", message.c_str());
  std::exit(1);
}

class Bench {
 public:
  Bench(Backend& backend, std::int32_t context) : backend_(backend), context_(context) {
    pages_each_ = (std::max(context + kMostBeside, kPromptTokens) + kPageTokens - 1) / kPageTokens;
    for (std::size_t group = 0; group < backend.info().page_groups.size(); ++group) {
      const Result<void> pages = backend.resize_pages(group, pages_each_ * kMaxSequences);
      if (!pages.ok()) fail(pages.error().message);
    }
  }

  double prefill() {
    const auto start = Clock::now();
    step({{0, 0, kPromptTokens}});
    return seconds_since(start);
  }

  /// Seconds that a piece of a prompt after `context` tokens adds to steps of kBeside decodes, going through
  /// `num_layers` in each.
  double beside(std::int32_t num_tokens, std::int32_t num_layers) {
    for (std::int32_t i = 0; i <= kBeside; ++i) {
      const std::int32_t context = i < kBeside ? kBesideContext : context_;
      for (std::int32_t done = 0; done < context; done += kPromptTokens)
        step({{i, done, std::min(kPromptTokens, context - done)}});
    }
    std::vector<Part> parts;
    for (std::int32_t i = 0; i < kBeside; ++i) parts.push_back({i, kBesideContext, 1});
    step(parts);
    auto start = Clock::now();
    for (int i = 0; i < 8; ++i) step(parts);
    const double decode = seconds_since(start) / 8;
    parts.push_back({kBeside, context_, num_tokens});
    const std::int32_t layers = backend_.info().num_sliceable_layers;
    std::int32_t steps = 0;
    start = Clock::now();
    for (std::int32_t first = 0; first < layers; first += num_layers, ++steps) {
      step(parts,
           num_layers < layers ? LayerSlice{1, first, std::min(layers, first + num_layers)} : LayerSlice{});
    }
    return seconds_since(start) - steps * decode;
  }

  static constexpr std::int32_t kBeside = 4;
  static constexpr std::int32_t kBesideContext = 64;

  /// Seconds a step.
  double decode(std::int32_t num_sequences) {
    for (std::int32_t i = 0; i < num_sequences; ++i) {
      for (std::int32_t done = 0; done < context_; done += kPromptTokens) {
        step({{i, done, std::min(kPromptTokens, context_ - done)}});
      }
    }
    std::vector<Part> parts(static_cast<std::size_t>(num_sequences));
    const auto start = Clock::now();
    for (std::int32_t t = 0; t < kDecodeSteps; ++t) {
      for (std::int32_t i = 0; i < num_sequences; ++i)
        parts[static_cast<std::size_t>(i)] = {i, context_ + t, 1};
      step(parts);
    }
    return seconds_since(start) / kDecodeSteps;
  }

 private:
  struct Part {
    std::int32_t sequence;
    std::int32_t position;
    std::int32_t num_tokens;
  };

  void step(const std::vector<Part>& parts, LayerSlice slice = {}) {
    batch_.clear();
    batch_.slice = slice;
    for (const Part& part : parts) {
      BatchSequence sequence;
      sequence.first_token = static_cast<std::int32_t>(batch_.tokens.size());
      sequence.num_tokens = part.num_tokens;
      sequence.first_position = part.position;
      sequence.page_tables.fill({static_cast<std::int32_t>(batch_.page_ids.size()), pages_each_});
      for (std::int32_t i = 0; i < pages_each_; ++i) {
        batch_.page_ids.push_back(static_cast<PageId>(part.sequence * pages_each_ + i));
      }
      for (std::int32_t i = 0; i < part.num_tokens; ++i) {
        const std::int32_t token =
            (part.sequence * 977 + (part.position + i) * 131) % backend_.info().vocab_size;
        batch_.tokens.push_back(TokenInput::id(token));
      }
      batch_.sequences.push_back(sequence);
      if (slice.num_sequences > 0 && &part == &parts.back() &&
          slice.last_layer < backend_.info().num_sliceable_layers) {
        break;
      }
      SampleRow row;
      row.token_index = sequence.first_token + part.num_tokens - 1;
      batch_.samples.push_back(row);
    }
    const Result<Backend::StepHandle> handle = backend_.submit(batch_);
    if (!handle.ok()) fail(handle.error().message);
    if (const Result<void> done = backend_.collect(*handle, result_); !done.ok()) fail(done.error().message);
  }

  Backend& backend_;
  const std::int32_t context_;
  std::int32_t pages_each_ = 0;
  StepBatch batch_;
  StepResult result_;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) fail(word + " needs a value");
      return argv[++i];
    };
    if (word == "--threads") {
      arguments.options.num_threads = std::atoi(value().c_str());
    } else if (word == "--isa") {
      const Result<Isa> isa = parse_isa(value());
      if (!isa.ok()) fail(isa.error().message);
      arguments.options.isa = *isa;
    } else if (word == "--kv") {
      const Result<KvFormat> format = parse_kv_format(value());
      if (!format.ok()) fail(format.error().message);
      arguments.options.kv_format = *format;
    } else if (word == "--rounds") {
      arguments.rounds = std::atoi(value().c_str());
    } else if (word == "--context") {
      arguments.context = std::atoi(value().c_str());
    } else if (word == "--only") {
      arguments.only = value();
    } else {
      arguments.folder = word;
    }
  }
  if (arguments.folder.empty())
    fail("usage: step_bench FOLDER [--threads N] [--isa NAME] [--kv NAME] [--rounds N] [--context N]");
  return arguments;
}

int run(const Arguments& arguments) {
  Result<ModelFolder> model = ModelFolder::open(arguments.folder);
  if (!model.ok()) fail(model.error().message);
  const auto start = Clock::now();
  Result<std::unique_ptr<CpuBackend>> loaded = CpuBackend::load(*model, arguments.options);
  if (!loaded.ok()) fail(loaded.error().message);
  CpuBackend& backend = **loaded;
  std::printf("%s, %s: loaded in %.0f ms, weights %.1f MB, scratch %.1f MB\n", model->name().c_str(),
              backend.info().name.c_str(), seconds_since(start) * 1e3,
              static_cast<double>(backend.memory().weight_bytes) / 1e6,
              static_cast<double>(backend.memory().scratch_bytes) / 1e6);
  Bench bench(backend, arguments.context);
  const auto best_of = [&](auto&& measure) {
    double best = 1e30;
    for (int round = 0; round < arguments.rounds; ++round) best = std::min(best, measure());
    return best;
  };
  if (arguments.only == "beside") {
    const std::int32_t all = backend.info().num_sliceable_layers;
    for (std::int32_t tokens = 16; tokens <= kMostBeside; tokens *= 2) {
      for (const std::int32_t layers : {all, all / 4, all / 8, 1}) {
        const double seconds = best_of([&] { return bench.beside(tokens, layers); });
        std::printf("%3d tokens, %2d layers a step: %.3f ms a token\n", tokens, layers,
                    seconds * 1e3 / tokens);
      }
    }
    return 0;
  }
  if (arguments.only != "decode") {
    const double seconds = best_of([&] { return bench.prefill(); });
    std::printf("prefill %d: %7.1f tokens/s (%.2f ms)\n", kPromptTokens, kPromptTokens / seconds,
                seconds * 1e3);
  }
  if (arguments.only == "prefill") return 0;
  for (std::int32_t n = 1; n <= kMaxSequences; n *= 2) {
    const double seconds = best_of([&] { return bench.decode(n); });
    std::printf("decode %2d: %8.1f tokens/s (%.3f ms a step)\n", n, n / seconds, seconds * 1e3);
  }
  return 0;
}

}  // namespace
}  // namespace mlxd

int main(int argc, char** argv) { return mlxd::run(mlxd::parse(argc, argv)); }
