// What constrained decoding costs beside a step: compiling a grammar, the mask of each token, taking a token,
// and a fork for looking ahead; on a real vocabulary, along texts drawn at random from what the grammar
// allows.
//
//   mask_bench [FOLDER] [--tokens N]     the model folder whose tokenizer is used; default: $MLXD_DEMO_MODEL
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar_matcher.h"
#include "text/tokenizer.h"

namespace {

using mlxd::GrammarKind;
using Clock = std::chrono::steady_clock;

struct Case {
  const char* name;
  GrammarKind kind;
  const char* source;
};

constexpr Case kCases[] = {
    {"any JSON object", GrammarKind::kJsonSchema, R"({"type":"object"})"},
    {"nested schema", GrammarKind::kJsonSchema,
     R"({"type":"array","minItems":200,"items":{"type":"object","properties":{"id":{"type":"string","pattern":"^[A-Z]{2}-[0-9]{4}$"},)"
     R"("state":{"enum":["open","closed","in review"]},"owner":{"type":"object","properties":{"name":{"type":"string","maxLength":20},)"
     R"("level":{"type":"integer","minimum":1,"maximum":5}},"required":["name","level"],"additionalProperties":false}},)"
     R"("required":["id","state","owner"],"additionalProperties":false}})"},
    {"regular expression", GrammarKind::kRegex, "([a-z]{1,12}[ ,.])*[A-Z]"},
    {"Lark", GrammarKind::kLark,
     "start: term (OPERATOR term)*\nterm: NUMBER | \"(\" NUMBER OPERATOR NUMBER \")\"\nNUMBER: "
     "/[1-9][0-9]{0,2}/\n"
     "OPERATOR: \"+\" | \"-\" | \"*\"\n"},
};

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

struct Times {
  std::vector<double> all;
  void print(const char* what) {
    if (all.empty()) return;
    std::sort(all.begin(), all.end());
    double sum = 0.0;
    for (const double time : all) sum += time;
    const auto at = [this](double share) {
      return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))];
    };
    std::printf("  %-8s mean %8.1f us   p50 %8.1f   p90 %8.1f   p99 %8.1f\n", what,
                sum / static_cast<double>(all.size()), at(0.5), at(0.9), at(0.99));
  }
};

bool run(const mlxd::GrammarEnvironment& environment, const Case& grammar, int num_tokens) {
  Times compile, mask, accept, fork;
  std::mt19937_64 random(1);
  std::vector<std::uint32_t> words(environment.mask_words());
  std::vector<mlxd::TokenId> allowed;
  while (static_cast<int>(mask.all.size()) < num_tokens) {
    auto begin = Clock::now();
    auto compiled = environment.compile(grammar.kind, grammar.source);
    compile.all.push_back(microseconds_since(begin));
    if (!compiled.ok()) {
      std::fprintf(stderr, "%s: %s\n", grammar.name, compiled.error().message.c_str());
      return false;
    }
    mlxd::GrammarMatcher matcher = compiled.take_value();
    for (int i = 0; i < 200; ++i) {
      begin = Clock::now();
      if (!matcher.compute_mask(words).ok()) return false;
      mask.all.push_back(microseconds_since(begin));
      begin = Clock::now();
      if (!matcher.fork().ok()) return false;
      fork.all.push_back(microseconds_since(begin));
      allowed.clear();
      for (std::size_t w = 0; w < words.size(); ++w) {
        for (std::uint32_t bits = words[w]; bits != 0; bits &= bits - 1)
          allowed.push_back(
              static_cast<mlxd::TokenId>(w * 32 + static_cast<std::size_t>(__builtin_ctz(bits))));
      }
      const mlxd::TokenId token = allowed[random() % allowed.size()];
      begin = Clock::now();
      if (!matcher.accept(token).ok()) return false;
      accept.all.push_back(microseconds_since(begin));
      const auto stopped = matcher.is_stopped();
      if (!stopped.ok() || stopped.value()) break;
    }
  }
  std::printf("%s\n", grammar.name);
  compile.print("compile");
  mask.print("mask");
  accept.print("accept");
  fork.print("fork");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int num_tokens = 4000;
  std::string folder;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--")) {
      if (argument == "--tokens" && i + 1 < argc) num_tokens = std::atoi(argv[i + 1]);
      ++i;  // flags of the other benchmarks
    } else {
      folder = argument;
    }
  }
  if (folder.empty()) {
    if (const char* const demo = std::getenv("MLXD_DEMO_MODEL")) folder = demo;
  }
  if (folder.empty() || num_tokens < 1) {
    std::fprintf(stderr, "usage: mask_bench FOLDER [--tokens N]\n");
    return 2;
  }
  const auto tokenizer = mlxd::Tokenizer::open(folder);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  const mlxd::TokenId end[] = {0};
  const auto begin = Clock::now();
  const auto environment =
      mlxd::GrammarEnvironment::create(tokenizer.value(), tokenizer.value().vocab_size(), end);
  if (!environment.ok()) {
    std::fprintf(stderr, "%s\n", environment.error().message.c_str());
    return 1;
  }
  std::printf("%d tokens; trie made in %.0f ms\n", tokenizer.value().vocab_size(),
              microseconds_since(begin) / 1000.0);
  for (const Case& grammar : kCases)
    if (!run(environment.value(), grammar, num_tokens)) return 1;
  return 0;
}
