#include "server/job_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <stdexcept>
#include <thread>

#include "base/mutex.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobQueueTest : public ::testing::Test {
 protected:
  // Runs until it is let go or told to stop.
  JobKind gated() {
    JobKind kind;
    kind.name = "gated";
    kind.parameters = {{.name = "name"}, {.name = "text", .type = JobParameter::Type::kLongText}};
    kind.output = [](const JobWish& wish) { return wish.text("name"); };
    kind.run = [this](const JobWish& wish, JobRun& run) -> Result<json::object> {
      {
        const MutexLock lock(mutex_);
        order_.push_back(wish.text("name") + wish.input);
      }
      run.enter("waiting");
      while (!open_ && !run.stop()) std::this_thread::yield();
      if (run.stop()) return Error(ErrorKind::kCancelled, "stopped");
      run.progress(0.5);
      run.log("half of it");
      return json::object{{"made", wish.text("name")}};
    };
    return kind;
  }
  static JobKind failing() {
    JobKind kind;
    kind.name = "failing";
    kind.run = [](const JobWish&, JobRun&) -> Result<json::object> { return corrupt_data("it is torn"); };
    return kind;
  }
  static JobKind throwing() {
    JobKind kind;
    kind.name = "throwing";
    kind.run = [](const JobWish&, JobRun&) -> Result<json::object> {
      throw std::runtime_error("a library gave up");
    };
    return kind;
  }

  void open(JobQueue::Options options = {}) {
    queue_.reset();
    options.database = database_.get();
    options.kinds = {gated(), failing(), throwing()};
    options.on_change = [this](const JobStatus& status) {
      const MutexLock lock(mutex_);
      told_.push_back(status.record.id + " " + std::string(to_string(status.record.state)));
      changed_.notify_all();
    };
    queue_ = JobQueue::open(std::move(options)).take_value();
    queue_->begin();
  }
  void TearDown() override {
    open_ = true;
    queue_.reset();
  }

  Result<JobStatus> try_add(const std::string& kind, const std::string& name = {},
                            const std::string& text = {}) {
    JobWish wish;
    if (!name.empty()) wish.parameters["name"] = name;
    wish.input = text;
    return queue_->add(**queue_->kind(kind), wish, std::nullopt);
  }
  std::string add(const std::string& kind, const std::string& name = {}) {
    return try_add(kind, name).take_value().record.id;
  }
  JobStatus find(const std::string& id) { return queue_->find(id, std::nullopt).take_value(); }
  // Returns it as it then is.
  JobStatus wait_for(const std::string& id, JobState state) {
    const std::string wanted = id + " " + std::string(to_string(state));
    {
      const MutexLock lock(mutex_);
      while (std::find(told_.begin(), told_.end(), wanted) == told_.end()) changed_.wait(mutex_);
    }
    return find(id);
  }

  std::unique_ptr<Database> database_ = Database::open({.file = {}}).take_value();
  std::atomic<bool> open_{false};
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> order_, told_;
  std::unique_ptr<JobQueue> queue_;
};

TEST_F(JobQueueTest, runs_one_at_a_time_in_order_and_keeps_results_and_logs) {
  open();
  const std::string first = add("gated", "a"), second = add("gated", "b"), third = add("gated", "c");
  wait_for(first, JobState::kRunning);
  EXPECT_EQ(find(second).record.state, JobState::kQueued);
  EXPECT_EQ(find(second).jobs_before, 1);
  EXPECT_EQ(find(third).jobs_before, 2);
  open_ = true;
  const JobStatus done = wait_for(third, JobState::kDone);
  EXPECT_THAT(order_, ElementsAre("a", "b", "c"));
  EXPECT_EQ(done.record.result_json, R"({"made":"c"})");
  EXPECT_EQ(done.record.progress, 1.0);
  EXPECT_TRUE(done.record.started_at && done.record.ended_at);
  const auto log = queue_->log(third, std::nullopt, 0, 10).take_value();
  ASSERT_EQ(log.size(), 1U);
  EXPECT_EQ(log[0].text, "half of it");
  EXPECT_EQ(done.record.num_log_lines, 1);
  std::vector<std::string> newest_first;
  const std::vector<JobStatus> all = queue_->list({}).take_value();
  for (const JobStatus& status : all) newest_first.push_back(status.record.id);
  EXPECT_THAT(newest_first, ElementsAre(third, second, first));
}

TEST_F(JobQueueTest, says_why_a_job_has_no_result_and_goes_on_with_the_next) {
  open();
  const JobStatus failed = wait_for(add("failing"), JobState::kFailed);
  EXPECT_EQ(failed.record.error_code, "corrupt_data");
  EXPECT_EQ(failed.record.error_message, "it is torn");
  const JobStatus thrown = wait_for(add("throwing"), JobState::kFailed);
  EXPECT_EQ(thrown.record.error_code, "internal");
  EXPECT_THAT(thrown.record.error_message, HasSubstr("a library gave up"));
  open_ = true;
  wait_for(add("gated"), JobState::kDone);
}

TEST_F(JobQueueTest, cancels_what_waits_at_once_and_what_runs_soon) {
  open();
  const std::string running = add("gated", "a"), waiting = add("gated", "b");
  wait_for(running, JobState::kRunning);
  EXPECT_EQ(queue_->cancel(waiting, std::nullopt)->record.state, JobState::kCancelled);
  EXPECT_EQ(find(waiting).record.state, JobState::kCancelled);
  EXPECT_TRUE(queue_->cancel(running, std::nullopt)->cancelling);
  EXPECT_EQ(wait_for(running, JobState::kCancelled).record.error_code, "cancelled");
  EXPECT_THAT(order_, ElementsAre("a"));
  EXPECT_EQ(queue_->cancel(running, std::nullopt).error().kind, ErrorKind::kConflict);
  EXPECT_EQ(queue_->cancel("nothing", std::nullopt).error().kind, ErrorKind::kNotFound);
}

TEST_F(JobQueueTest, only_what_is_over_can_be_forgotten_and_only_by_its_owner) {
  open();
  const std::string id = add("gated");
  wait_for(id, JobState::kRunning);
  EXPECT_EQ(queue_->remove(id, std::nullopt).error().kind, ErrorKind::kConflict);
  open_ = true;
  wait_for(id, JobState::kDone);
  EXPECT_EQ(queue_->remove(id, "ann").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(queue_->find(id, "ann").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(queue_->log(id, "ann", 0, 1).error().kind, ErrorKind::kNotFound);
  EXPECT_TRUE(queue_->remove(id, std::nullopt).ok());
  EXPECT_EQ(queue_->find(id, std::nullopt).error().kind, ErrorKind::kNotFound);
}

TEST_F(JobQueueTest, two_jobs_do_not_make_the_same_and_too_many_do_not_wait) {
  open({.max_waiting = 2});
  add("gated", "a");
  EXPECT_EQ(try_add("gated", "a").error().kind, ErrorKind::kConflict);
  add("gated", "b");
  add("gated", "c");
  EXPECT_EQ(try_add("gated", "d").error().kind, ErrorKind::kOverloaded);
}

TEST_F(JobQueueTest, after_a_stop_what_ran_is_interrupted_and_what_waits_runs) {
  open();
  const std::string first = add("gated", "a");
  wait_for(first, JobState::kRunning);
  const std::string second = try_add("gated", "b", " with its text").take_value().record.id;
  open();
  EXPECT_EQ(find(first).record.state, JobState::kInterrupted);
  EXPECT_THAT(find(first).record.error_message, HasSubstr("the server was stopped while it ran"));
  open_ = true;
  wait_for(second, JobState::kDone);
  EXPECT_THAT(order_, ElementsAre("a", "b with its text"));
}

TEST_F(JobQueueTest, after_a_crash_what_ran_is_interrupted) {
  JobStore store(*database_);
  JobRecord record{.id = "left", .kind = "gated"};
  record.created_at = 100;
  store.add(record).value();
  record.state = JobState::kRunning;
  record.progress = 0.7;
  store.save(record).value();
  store.add({.id = "foreign", .kind = "of another version"}).value();
  open();
  EXPECT_EQ(find("left").record.state, JobState::kInterrupted);
  EXPECT_THAT(find("left").record.error_message, HasSubstr("ended without warning"));
  EXPECT_EQ(find("left").record.progress, 0.7);
  EXPECT_THAT(wait_for("foreign", JobState::kFailed).record.error_message, HasSubstr("another version"));
}

TEST_F(JobQueueTest, where_no_jobs_run_they_can_be_looked_at_and_wait) {
  JobStore store(*database_);
  store.add({.id = "left", .kind = "gated"}).value();
  open({.runs = false});
  EXPECT_EQ(find("left").record.state, JobState::kQueued);
  EXPECT_EQ(try_add("gated").error().kind, ErrorKind::kUnavailable);
}

TEST_F(JobQueueTest, remembers_only_the_newest_that_are_over) {
  open({.max_ended = 2});
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(add("failing"));
    wait_for(ids.back(), JobState::kFailed);
  }
  EXPECT_EQ(queue_->list({}).take_value().size(), 2U);
  EXPECT_EQ(queue_->find(ids[0], std::nullopt).error().kind, ErrorKind::kNotFound);
}

TEST(JobParameters, are_checked_by_name_type_and_range) {
  JobKind kind;
  kind.parameters = {
      {.name = "model", .required = true, .min = 1, .max = 10},
      {.name = "count", .type = JobParameter::Type::kInteger, .min = 1, .max = 9, .otherwise = 3},
      {.name = "sizes", .type = JobParameter::Type::kIntegers, .min = 1, .max = 9},
      {.name = "mode", .choices = {"fast", "slow"}},
      {.name = "plain", .type = JobParameter::Type::kBoolean},
      {.name = "text", .type = JobParameter::Type::kLongText, .max = 100},
  };
  const auto check = [&](const json::object& given, const std::string& field, const std::string& message) {
    const auto read = read_job_parameters(kind, given);
    ASSERT_FALSE(read.ok()) << json::serialize(given);
    EXPECT_EQ(read.error().kind, ErrorKind::kInvalidArgument);
    EXPECT_EQ(read.error().field, "parameters." + field);
    EXPECT_THAT(read.error().message, HasSubstr(message));
  };
  check({}, "model", "parameters.model");
  check({{"model", 5}}, "model", "must be a string");
  check({{"model", "a name that is too long"}}, "model", "must have 1 to 10");
  check({{"model", "m"}, {"count", 10}}, "count", "10");
  check({{"model", "m"}, {"count", 1.5}}, "count", "1.5");
  check({{"model", "m"}, {"sizes", json::array{}}}, "sizes", "has 0 numbers");
  check({{"model", "m"}, {"sizes", json::array{1, 0}}}, "sizes[1]", "0");
  check({{"model", "m"}, {"mode", "odd"}}, "mode", "must be one of fast, slow");
  check({{"model", "m"}, {"plain", "yes"}}, "plain", "yes");
  check({{"model", "m"}, {"cuont", 2}}, "cuont", "count");

  const auto read = read_job_parameters(
      kind, {{"model", "m"}, {"sizes", json::array{2, 4}}, {"mode", nullptr}, {"text", "t"}});
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(json::serialize(read->parameters), R"({"model":"m","count":3,"sizes":[2,4]})");
  EXPECT_EQ(read->input, "t");
  EXPECT_EQ(read->integer("count"), 3);
  EXPECT_FALSE(read->boolean("plain"));
}

}  // namespace
}  // namespace mlxd
