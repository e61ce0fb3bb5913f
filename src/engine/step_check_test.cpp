#include "engine/step_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mlxd {
namespace {

/// A sequence's part of a step in a group of states, or of K/V in a window of 2.
struct Case {
  std::int32_t first_position;
  std::int32_t num_tokens;
  std::vector<PageId> table;
  bool is_valid;
};

Result<void> check(const Case& c, bool is_state) {
  BackendInfo info;
  info.vocab_size = 10;
  info.max_batch_tokens = 512;
  info.max_batch_sequences = 4;
  info.page_groups = {{.page_bytes = 1, .window_tokens = 2, .is_state = is_state}};
  StepBatch batch;
  batch.tokens.assign(static_cast<std::size_t>(c.num_tokens), TokenInput::id(1));
  BatchSequence sequence;
  sequence.num_tokens = c.num_tokens;
  sequence.first_position = c.first_position;
  sequence.page_tables[0] = {.begin = 0, .count = static_cast<std::int32_t>(c.table.size())};
  batch.page_ids = c.table;
  batch.sequences = {sequence};
  const std::int32_t num_pages = 8;
  return check_step(batch, info, {.context_tokens = 1000, .num_pages = {&num_pages, 1}});
}

TEST(StepCheck, a_step_needs_the_state_that_it_goes_on_from_and_a_page_to_end_in) {
  constexpr PageId kNone = kNoPage;
  const Case cases[] = {
      {0, 20, {3}, true},
      {0, 20, {kNone}, false},                   // nowhere to end
      {0, 100, {kNone, kNone, kNone, 3}, true},  // passes through pages
      {0, 100, {kNone, 2, kNone, 3}, true},      // leaves a state behind
      {0, 100, {1, 2, 3, kNone}, false},
      {0, 100, {1, 2, 3}, false},  // too short
      {0, 96, {kNone, kNone, 3}, true},
      {20, 5, {3}, true},  // in place
      {20, 100, {5, kNone, kNone, 3}, true},
      {20, 100, {kNone, kNone, kNone, 3}, false},  // goes on from nothing
      {32, 5, {4, 3}, true},                       // from the end of the page before
      {32, 5, {kNone, 3}, false},
      {33, 5, {kNone, 3}, true},
      {64, 40, {kNone, 4, kNone, 3}, true},
      {64, 40, {kNone, 4, kNone, 8}, false},  // not allocated
      {64, 40, {9, 4, kNone, 3}, false},
      {64, 20, {kNone, 4, 3, kNone}, true},  // what comes later is of no interest
  };
  for (const Case& c : cases)
    EXPECT_EQ(check(c, true).ok(), c.is_valid) << c.first_position << " + " << c.num_tokens;
}

TEST(StepCheck, pages_of_a_window_may_be_missing_behind_it_only) {
  EXPECT_TRUE(check({64, 40, {kNoPage, 4, 5, 3}, true}, false).ok());
  EXPECT_FALSE(check({64, 40, {kNoPage, 4, kNoPage, 3}, false}, false).ok());
  EXPECT_FALSE(check({64, 40, {kNoPage, kNoPage, 5, 3}, false}, false).ok());
}

TEST(StepCheck, a_scored_token_is_one_of_the_vocabulary) {
  BackendInfo info;
  info.vocab_size = 10;
  info.max_batch_tokens = 4;
  info.max_batch_sequences = 1;
  info.page_groups = {{.page_bytes = 1}};
  for (const TokenId token : {-2, -1, 0, 9, 10}) {
    StepBatch batch;
    batch.tokens = {TokenInput::id(1)};
    batch.page_ids = {0};
    BatchSequence sequence;
    sequence.num_tokens = 1;
    sequence.page_tables[0] = {.begin = 0, .count = 1};
    batch.sequences = {sequence};
    batch.samples = {{0, {.scored = token}}};
    const std::int32_t num_pages = 1;
    EXPECT_EQ(check_step(batch, info, {.context_tokens = 8, .num_pages = {&num_pages, 1}}).ok(),
              token >= kNoToken && token < 10)
        << token;
  }
}

}  // namespace
}  // namespace mlxd
