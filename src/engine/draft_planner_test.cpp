#include "engine/draft_planner.h"

#include <gtest/gtest.h>

#include <memory>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::make_request;

// Sequences that decode, with drafts as asked for, and steps that take what they are said to.
class Plans {
 public:
  explicit Plans(std::size_t num_sequences, std::int32_t fixed_drafts = 0) : planner(fixed_drafts) {
    for (std::size_t i = 0; i < num_sequences; ++i) {
      sequences_.push_back(std::make_unique<Sequence>(i, i, make_request({1, 2, 3}, 1000), TimePoint()));
      decoding.push_back(sequences_.back().get());
    }
  }

  void offer(std::size_t sequence, std::int32_t num_drafts, Evidence evidence) {
    Draft& draft = decoding[sequence]->draft();
    draft.clear();
    for (std::int32_t i = 0; i < num_drafts; ++i) draft.tokens.push_back({1, evidence});
  }
  std::int32_t planned(std::size_t sequence) { return decoding[sequence]->draft().num_run; }
  std::int32_t all_planned() {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < decoding.size(); ++i) sum += planned(i);
    return sum;
  }
  /// Plans and takes steps in which a row beside the first of each sequence costs `row_share` of a plain step
  /// and holds a right guess or never does.
  void run_steps(int num_steps, double row_share, bool right = true) {
    for (int step = 0; step < num_steps; ++step) {
      planner.plan(decoding, 0.0);
      const std::int32_t rows = all_planned();
      planner.observe(static_cast<std::int32_t>(decoding.size()), rows, right ? rows : 0,
                      0.01 * (1.0 + row_share * rows), guessing_share * 0.01);
      num_rows += rows;
    }
  }
  /// Guesses of this evidence turn out as `share` says.
  void teach(Evidence evidence, double share) {
    Sequence& sequence = *decoding.front();
    double due = 0.0;
    for (int i = 0; i < 2000; ++i) {
      due += share;
      const bool right = due >= 1.0;
      if (right) due -= 1.0;
      sequence.draft().clear();
      // The sequence's third token is the 3.
      sequence.draft().tokens.push_back({right ? 3 : 4, evidence});
      planner.learn(sequence, 2);
    }
    sequence.draft().clear();
  }

  DraftPlanner planner;
  std::vector<Sequence*> decoding;
  std::int32_t num_rows = 0;
  double guessing_share = 0.0;  // of a plain step

 private:
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

TEST(DraftPlanner, runs_likely_guesses_where_rows_are_cheap) {
  Plans plans(1);
  plans.offer(0, 15, Evidence::kMatch16AndMore);
  plans.run_steps(20, 0.02);
  plans.planner.plan(plans.decoding, 0.0);
  EXPECT_GE(plans.planned(0), 6);
}

TEST(DraftPlanner, runs_none_where_rows_are_dear) {
  Plans plans(1);
  plans.offer(0, 15, Evidence::kMatch16AndMore);
  plans.run_steps(3000, 2.0);
  EXPECT_LE(plans.num_rows, 60);
}

// Whatever it believes: here that guesses are right nine times in ten, and they never are.
TEST(DraftPlanner, loses_no_more_than_a_little) {
  for (const double row_share : {0.05, 0.3, 1.0, 3.0}) {
    Plans plans(1);
    plans.offer(0, 15, Evidence::kMatch16AndMore);
    plans.run_steps(4000, row_share, false);
    EXPECT_LE(row_share * plans.num_rows, 0.03 * 4000) << row_share;
  }
}

TEST(DraftPlanner, runs_none_of_what_is_mostly_wrong) {
  Plans plans(1);
  plans.teach(Evidence::kMatch2, 0.05);
  plans.offer(0, 15, Evidence::kMatch2);
  plans.run_steps(50, 0.15);
  EXPECT_EQ(plans.planned(0), 0);
}

TEST(DraftPlanner, goes_as_deep_as_guesses_are_likely) {
  std::int32_t before = 0;
  for (const double share : {0.5, 0.8, 0.97}) {
    Plans plans(1);
    plans.teach(Evidence::kMatch4, share);
    plans.offer(0, 15, Evidence::kMatch4);
    plans.run_steps(60, 0.1);
    plans.planner.plan(plans.decoding, 0.0);
    EXPECT_GT(plans.planned(0), before) << share;
    before = plans.planned(0);
  }
}

TEST(DraftPlanner, steps_stay_below_their_most_cost) {
  Plans plans(4);
  plans.planner = DraftPlanner(0, 2.5);
  for (std::size_t i = 0; i < 4; ++i) plans.offer(i, 15, Evidence::kMatch16AndMore);
  plans.run_steps(10, 0.1);
  for (int step = 0; step < 100; ++step) {
    plans.run_steps(1, 0.1);
    EXPECT_LE(plans.all_planned(), 15);
  }
  plans.planner.plan(plans.decoding, 0.0);
  EXPECT_GE(plans.all_planned(), 12);
  // A model is not asked for more, either.
  EXPECT_LE(plans.planner.worthwhile_drafts(plans.decoding, 1e-6, 0.001), 4);
}

TEST(DraftPlanner, nobody_is_slowed_down_for_a_small_gain_of_another) {
  Plans plans(8);
  plans.offer(0, 15, Evidence::kMatch16AndMore);
  plans.run_steps(100, 0.1);
  std::int32_t most = 0;
  for (int step = 0; step < 50; ++step) {
    plans.run_steps(1, 0.1);
    most = std::max(most, plans.planned(0));
  }
  // Eight lose a tenth for each row: the first alone is worth as much.
  EXPECT_LE(most, 1);
  for (std::size_t i = 0; i < 8; ++i) plans.offer(i, 15, Evidence::kMatch16AndMore);
  plans.run_steps(3, 0.02);
  plans.planner.plan(plans.decoding, 0.0);
  EXPECT_GE(plans.all_planned(), 16);
  EXPECT_LE(plans.all_planned(), DraftPlanner::kMostExtraRows);
}

TEST(DraftPlanner, first_measures_a_plain_step_and_then_again_now_and_then) {
  Plans plans(2);
  for (std::size_t i = 0; i < 2; ++i) plans.offer(i, 15, Evidence::kMatch16AndMore);
  int plain = 0;
  for (int step = 0; step < 660; ++step) {
    plans.run_steps(1, 0.02);
    if (plans.all_planned() == 0) ++plain;
    if (step == 0) {
      EXPECT_EQ(plain, 1);
    }
  }
  EXPECT_GE(plain, 8);
  EXPECT_LE(plain, 12);
}

TEST(DraftPlanner, one_disturbed_step_changes_little) {
  Plans plans(1);
  plans.offer(0, 15, Evidence::kMatch16AndMore);
  plans.run_steps(40, 0.05);
  plans.planner.plan(plans.decoding, 0.0);
  const std::int32_t before = plans.planned(0);
  plans.planner.observe(1, before, before, 5.0, 0.0);
  plans.planner.plan(plans.decoding, 0.0);
  EXPECT_GE(plans.planned(0), before / 2);
}

TEST(DraftPlanner, guessing_itself_may_not_lose_more_either) {
  Plans plans(1);
  plans.guessing_share = 0.5;
  plans.run_steps(50, 0.0);
  EXPECT_EQ(plans.planner.worthwhile_drafts(plans.decoding, 1e-6, 0.0), 0);
  plans.guessing_share = 0.0;
  plans.run_steps(6000, 0.0);
  EXPECT_GT(plans.planner.worthwhile_drafts(plans.decoding, 1e-6, 0.0), 0);
}

TEST(DraftPlanner, a_fixed_number_is_run_whatever_it_brings) {
  Plans plans(2, 5);
  plans.offer(0, 15, Evidence::kMatch2);
  plans.offer(1, 3, Evidence::kMatch2);
  plans.planner.plan(plans.decoding, 0.0);
  EXPECT_EQ(plans.planned(0), 5);
  EXPECT_EQ(plans.planned(1), 3);
  EXPECT_EQ(plans.planner.worthwhile_drafts(plans.decoding, 1.0, 0.0), 5);
}

TEST(DraftPlanner, a_drafting_model_is_asked_as_far_as_its_own_time_pays) {
  Plans plans(1);
  plans.teach(Evidence::kDraftModel, 0.8);
  plans.run_steps(1, 0.0);
  const std::int32_t cheap = plans.planner.worthwhile_drafts(plans.decoding, 0.0002, 0.0005);
  const std::int32_t dear = plans.planner.worthwhile_drafts(plans.decoding, 0.003, 0.0005);
  EXPECT_GE(cheap, 4);
  EXPECT_LT(dear, cheap);
  EXPECT_EQ(plans.planner.worthwhile_drafts(plans.decoding, 0.02, 0.0005), 0);
  EXPECT_EQ(plans.planner.worthwhile_drafts(plans.decoding, 0.0, 0.0), DraftPlanner::kMostDrafts);
}

}  // namespace
}  // namespace mlxd
