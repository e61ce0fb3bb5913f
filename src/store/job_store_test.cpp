#include "store/job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/user_store.h"

namespace mlxd {
namespace {

using ::testing::ElementsAre;

class JobStoreTest : public ::testing::Test {
 protected:
  JobStoreTest() {
    for (const char* id : {"admin", "ann"}) {
      const User user{.id = id, .email = std::string(id) + "@x.org", .name = {}, .password_hash = "h"};
      EXPECT_TRUE(UserStore(*database_).create(user, true).ok());
    }
  }
  JobRecord add(const std::string& id, const std::string& kind, std::optional<std::string> user = {}) {
    JobRecord record{.id = id, .kind = kind, .user_id = std::move(user)};
    record.parameters_json = R"({"model":"m"})";
    record.input = "long text";
    record.created_at = 100;
    store_.add(record).value();
    return record;
  }
  std::vector<std::string> list(const JobStore::Query& query = {}) {
    std::vector<std::string> ids;
    const std::vector<JobRecord> records = store_.list(query).take_value();
    for (const JobRecord& record : records) ids.push_back(record.id);
    return ids;
  }

  std::unique_ptr<Database> database_ = Database::open({.file = {}}).take_value();
  JobStore store_{*database_};
};

TEST_F(JobStoreTest, lists_the_newest_first_by_account_kind_and_state) {
  add("1", "import");
  add("2", "bench", "ann");
  JobRecord third = add("3", "bench", "admin");
  third.state = JobState::kDone;
  store_.save(third).value();
  EXPECT_THAT(list(), ElementsAre("3", "2", "1"));
  EXPECT_THAT(list({.limit = 2}), ElementsAre("3", "2"));
  EXPECT_THAT(list({.user_id = "ann"}), ElementsAre("2"));
  EXPECT_THAT(list({.kind = "bench"}), ElementsAre("3", "2"));
  EXPECT_THAT(list({.kind = "bench", .state = JobState::kQueued}), ElementsAre("2"));
}

TEST_F(JobStoreTest, keeps_what_becomes_of_a_job_and_its_input_only_until_it_is_over) {
  JobRecord record = add("1", "perplexity", "ann");
  record.state = JobState::kRunning;
  record.step = "scoring";
  record.progress = 0.25;
  record.started_at = 110;
  store_.save(record).value();
  std::vector<JobRecord> active = store_.active().take_value();
  ASSERT_EQ(active.size(), 1U);
  EXPECT_EQ(active[0].input, "long text");
  EXPECT_EQ(active[0].step, "scoring");
  EXPECT_EQ(active[0].progress, 0.25);
  record.state = JobState::kFailed;
  record.error_code = "corrupt_data";
  record.error_message = "torn";
  record.ended_at = 120;
  store_.save(record).value();
  EXPECT_TRUE(store_.active().take_value().empty());
  const JobRecord found = store_.find("1").take_value();
  EXPECT_EQ(found.state, JobState::kFailed);
  EXPECT_EQ(found.error_code, "corrupt_data");
  EXPECT_EQ(found.error_message, "torn");
  EXPECT_EQ(found.started_at, 110);
  EXPECT_EQ(found.ended_at, 120);
  EXPECT_EQ(found.parameters_json, R"({"model":"m"})");
  // The text is gone from the disk too.
  JobRecord again = found;
  again.state = JobState::kQueued;
  store_.save(again).value();
  EXPECT_EQ(store_.active().take_value().at(0).input, "");
}

TEST_F(JobStoreTest, active_jobs_come_in_the_order_in_which_they_were_asked_for) {
  for (const char* id : {"b", "c", "a"}) add(id, "import");
  std::vector<std::string> ids;
  const std::vector<JobRecord> active = store_.active().take_value();
  for (const JobRecord& record : active) ids.push_back(record.id);
  EXPECT_THAT(ids, ElementsAre("b", "c", "a"));
}

TEST_F(JobStoreTest, a_log_is_read_from_any_line_on_and_goes_with_its_job) {
  add("1", "import");
  for (int i = 0; i < 5; ++i) store_.add_log_line("1", {i, 100 + i, "line " + std::to_string(i)}).value();
  EXPECT_EQ(store_.find("1").take_value().num_log_lines, 5);
  const auto lines = store_.log("1", 3, 10).take_value();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].text, "line 3");
  EXPECT_EQ(lines[1].at, 104);
  EXPECT_EQ(store_.log("1", 0, 2).take_value().size(), 2U);
  store_.remove("1").value();
  EXPECT_TRUE(store_.log("1", 0, 10).take_value().empty());
  EXPECT_EQ(store_.remove("1").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(store_.find("1").error().kind, ErrorKind::kNotFound);
}

TEST_F(JobStoreTest, only_the_newest_that_are_over_are_kept_and_all_that_are_not) {
  for (const char* id : {"1", "2", "3", "4"}) {
    JobRecord record = add(id, "import");
    if (record.id == "2") continue;
    record.state = JobState::kDone;
    store_.save(record).value();
  }
  store_.keep_newest(1).value();
  EXPECT_THAT(list(), ElementsAre("4", "2"));
}

TEST_F(JobStoreTest, a_job_outlives_its_account) {
  add("1", "import", "ann");
  ASSERT_TRUE(UserStore(*database_).remove("ann").ok());
  EXPECT_FALSE(store_.find("1").take_value().user_id.has_value());
  // What is told of it later still finds it.
  EXPECT_THAT(list({.user_id = "ann"}), ElementsAre());
}

}  // namespace
}  // namespace mlxd
