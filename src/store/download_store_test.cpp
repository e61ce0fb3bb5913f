#include "store/download_store.h"

#include <gtest/gtest.h>

#include "store/user_store.h"

namespace mlxd {
namespace {

class DownloadStoreTest : public ::testing::Test {
 protected:
  DownloadStoreTest() {
    for (const char* id : {"admin", "ann"}) {
      const User user{.id = id, .email = std::string(id) + "@x.org", .name = {}, .password_hash = "h"};
      EXPECT_TRUE(UserStore(*database_).create(user, true).ok());
    }
  }
  DownloadRow row(const std::string& id) const {
    return {.id = id,
            .user_id = "ann",
            .repository = "org/name",
            .revision = "main",
            .commit = "",
            .patterns_json = R"(["*.gguf"])",
            .state = "queued",
            .message = "",
            .created_at = 100};
  }

  std::unique_ptr<Database> database_ = Database::open({.file = {}}).take_value();
  DownloadStore store_{*database_};
};

TEST_F(DownloadStoreTest, a_row_that_changes_keeps_its_place) {
  for (const char* id : {"b", "a"}) store_.save(row(id)).value();
  DownloadRow changed = row("b");
  changed.commit = "c0ffee";
  changed.state = "done";
  changed.message = "m";
  changed.owns_snapshot = true;
  changed.total_bytes = changed.present_bytes = 5'000'000'000;
  changed.ended_at = 120;
  store_.save(changed).value();
  const auto rows = store_.list().take_value();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].id, "b");
  EXPECT_EQ(rows[0].user_id, "ann");
  EXPECT_EQ(rows[0].commit, "c0ffee");
  EXPECT_EQ(rows[0].patterns_json, R"(["*.gguf"])");
  EXPECT_EQ(rows[0].state, "done");
  EXPECT_EQ(rows[0].message, "m");
  EXPECT_TRUE(rows[0].owns_snapshot);
  EXPECT_EQ(rows[0].total_bytes, 5'000'000'000);
  EXPECT_EQ(rows[0].present_bytes, 5'000'000'000);
  EXPECT_EQ(rows[0].created_at, 100);
  EXPECT_EQ(rows[0].ended_at, 120);
  EXPECT_FALSE(rows[1].ended_at.has_value());
  store_.remove("b").value();
  EXPECT_EQ(store_.list()->size(), 1U);
}

TEST_F(DownloadStoreTest, a_download_outlives_its_account) {
  store_.save(row("a")).value();
  ASSERT_TRUE(UserStore(*database_).remove("ann").ok());
  EXPECT_FALSE(store_.list()->at(0).user_id.has_value());
  // One that is still under way does not know that.
  store_.save(row("a")).value();
  store_.save(row("b")).value();
  EXPECT_FALSE(store_.list()->at(1).user_id.has_value());
}

}  // namespace
}  // namespace mlxd
