#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace mlxd {
namespace {

struct Found {
  std::string text;
  std::string matched;
  bool stopped = false;
  bool operator==(const Found&) const = default;
};

/// The stop string that ends first, of those the longest.
Found expected(const std::vector<std::string>& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const std::string* best = nullptr;
    for (const std::string& stop : stops) {
      if (stop.empty() || stop.size() > end || text.compare(end - stop.size(), stop.size(), stop) != 0)
        continue;
      if (best == nullptr || stop.size() > best->size()) best = &stop;
    }
    if (best != nullptr) return {text.substr(0, end - best->size()), *best, true};
  }
  return {text, "", false};
}

Found run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  Found found;
  for (const std::string& piece : pieces) {
    StopMatcher::Output output = matcher.push(piece);
    found.text += output.text;
    if (output.stopped) {
      found.stopped = true;
      found.matched = output.matched;
      return found;
    }
  }
  found.text += matcher.finish();
  return found;
}

TEST(StopMatcherTest, FindsStopStringsAcrossPieces) {
  struct Case {
    std::vector<std::string> stops;
    std::vector<std::string> pieces;
    Found found;
  };
  const std::vector<Case> cases = {
      {{}, {"any", "thing"}, {"anything", "", false}},
      {{""}, {"any"}, {"any", "", false}},
      {{"END"}, {"abE", "ND", "x"}, {"ab", "END", true}},
      {{"END"}, {"abE", "N", "x"}, {"abENx", "", false}},
      {{"END"}, {"abEN"}, {"abEN", "", false}},
      {{"aab"}, {"a", "a", "a", "b"}, {"a", "aab", true}},
      {{"abcd", "bc"}, {"abc"}, {"a", "bc", true}},
      {{"c", "abc"}, {"abc"}, {"", "abc", true}},
      {{"\n\n"}, {"x\n", "\n"}, {"x", "\n\n", true}},
      {{"\xF0\x9F\x8D\x80"},
       {"a\xF0\x9F\x8D\x80"
        "b"},
       {"a", "\xF0\x9F\x8D\x80", true}},
      {{"same", "same"}, {"a same"}, {"a ", "same", true}},
      {{std::string("\0", 1)}, {std::string("a\0b", 3)}, {"a", std::string("\0", 1), true}},
  };
  for (const Case& test : cases) EXPECT_EQ(run(test.stops, test.pieces), test.found);
}

TEST(StopMatcherTest, HoldsBackOnlyWhatMayBeginAStopString) {
  const std::vector<std::string> stops = {"<end>"};
  StopMatcher matcher(stops);
  EXPECT_EQ(matcher.push("hello").text, "hello");
  EXPECT_EQ(matcher.push("a<").text, "a");
  EXPECT_EQ(matcher.push("en").text, "");
  EXPECT_EQ(matcher.push("<e").text, "<en");
  EXPECT_EQ(matcher.push("x").text, "<ex");
  EXPECT_EQ(matcher.push("<end").text, "");
  EXPECT_EQ(matcher.finish(), "<end");
}

TEST(StopMatcherTest, AgreesWithBruteForceOnRandomStringsAndCuts) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto word = [&](unsigned longest) {
    std::string out;
    for (auto i = random() % (longest + 1); i > 0; --i) out.push_back(static_cast<char>('a' + random() % 2));
    return out;
  };
  for (int round = 0; round < 4000; ++round) {
    std::vector<std::string> stops(random() % 4);
    for (std::string& stop : stops) stop = word(5);
    std::vector<std::string> pieces(random() % 10);
    std::string text;
    for (std::string& piece : pieces) text += piece = word(4);
    EXPECT_EQ(run(stops, pieces), expected(stops, text));
  }
}

TEST(StopMatcherTest, TakesAMegabyteOfStopStrings) {
  std::mt19937 random(3);
  std::vector<std::string> stops(1000);
  for (std::string& stop : stops) {
    stop = std::string(900, 'a');
    for (int i = 0; i < 100; ++i) stop.push_back(static_cast<char>('b' + random() % 20));
  }
  stops.emplace_back(100'000, 'a');
  StopMatcher matcher(stops);
  std::string passed;
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece = std::string(100, 'a') + "!";
    text += piece;
    const auto output = matcher.push(piece);
    ASSERT_FALSE(output.stopped);
    passed += output.text;
  }
  passed += matcher.finish();
  EXPECT_EQ(passed, text);
  StopMatcher again(stops);
  EXPECT_EQ(again.push("x" + stops[500] + "y").matched, stops[500]);
}

}  // namespace
}  // namespace mlxd
