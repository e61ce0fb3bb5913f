#include "store/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <random>

#include "store/setting_store.h"
#include "store/sql.h"
#include "store/user_store.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr Migration kFirst{1, "0001_notes",
                           "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"};
constexpr Migration kSecond{2, "0002_colour",
                            "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';"
                            "CREATE INDEX notes_by_colour ON notes (colour);"};
constexpr Migration kBroken{3, "0003_broken",
                            "CREATE TABLE extra (id INTEGER); CREATE TABLE notes (id INTEGER);"};
constexpr std::array kOne{kFirst};
constexpr std::array kTwo{kFirst, kSecond};
constexpr std::array kThree{kFirst, kSecond, kBroken};

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() {
    std::string pattern = (fs::temp_directory_path() / "mlxd_store_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    file_ = folder_ / "mlxd.db";
  }
  ~DatabaseTest() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<Database>> open(std::span<const Migration> migrations = kTwo) const {
    return Database::open(
        {.file = file_, .busy_timeout = std::chrono::milliseconds(50), .migrations = migrations});
  }
  std::string refusal(std::span<const Migration> migrations = kTwo) const {
    const auto database = open(migrations);
    return database.ok() ? "opened" : database.error().message;
  }
  static Result<void> add(Database& database, const std::string& text) {
    return database.write([&](Sql& sql) -> Result<void> {
      sql.execute("INSERT INTO notes (text) VALUES (?)", text);
      return {};
    });
  }
  static std::int64_t count(Database& database) {
    return database
        .read([](Sql& sql) -> Result<std::int64_t> { return sql.number("SELECT COUNT(*) FROM notes"); })
        .take_value();
  }

  fs::path folder_;
  fs::path file_;
};

TEST_F(DatabaseTest, keeps_what_was_committed_and_is_for_its_owner_only) {
  {
    auto database = open().take_value();
    ASSERT_TRUE(add(*database, "one").ok());
    struct stat facts {};
    for (const char* end : {"", "-wal", "-shm"}) {
      ASSERT_EQ(::stat((file_.string() + end).c_str(), &facts), 0) << end;
      EXPECT_EQ(facts.st_mode & 0777U, 0600U) << end;
    }
  }
  auto database = open().take_value();
  EXPECT_EQ(count(*database), 1);
}

TEST_F(DatabaseTest, rolls_back_what_ends_in_an_error) {
  auto database = open().take_value();
  const auto refused = database->write([](Sql& sql) -> Result<void> {
    sql.execute("INSERT INTO notes (text) VALUES ('x')");
    return not_found("no");
  });
  EXPECT_EQ(refused.error().message, "no");
  const auto failed = database->write([](Sql& sql) -> Result<void> {
    sql.execute("INSERT INTO notes (text) VALUES ('x')");
    sql.execute("INSERT INTO nowhere VALUES (1)");
    return {};
  });
  EXPECT_EQ(failed.error().kind, ErrorKind::kInternal);
  EXPECT_THAT(failed.error().message, HasSubstr("nowhere"));
  EXPECT_EQ(count(*database), 0);
  EXPECT_EQ(database->num_writes(), 0U);
}

TEST_F(DatabaseTest, brings_an_older_schema_to_todays_after_a_backup) {
  { ASSERT_TRUE(add(*open(kOne).take_value(), "old").ok()); }
  EXPECT_FALSE(fs::exists(file_.string() + ".backup-v1"));
  {
    auto database = open(kTwo).take_value();
    EXPECT_EQ(count(*database), 1);
  }
  ASSERT_TRUE(fs::exists(file_.string() + ".backup-v1"));
  fs::rename(file_.string() + ".backup-v1", folder_ / "copy.db");
  file_ = folder_ / "copy.db";
  EXPECT_EQ(count(*open(kOne).take_value()), 1);
}

TEST_F(DatabaseTest, a_migration_that_fails_leaves_the_schema_before_it) {
  { ASSERT_TRUE(add(*open(kTwo).take_value(), "kept").ok()); }
  EXPECT_THAT(refusal(kThree), HasSubstr("notes already exists"));
  auto database = open(kTwo).take_value();
  EXPECT_EQ(count(*database), 1);
  EXPECT_FALSE(
      database
          ->read([](Sql& sql) -> Result<std::int64_t> { return sql.number("SELECT COUNT(*) FROM extra"); })
          .ok());
}

TEST_F(DatabaseTest, refuses_a_newer_database_by_its_version) {
  { open(kTwo).take_value(); }
  EXPECT_THAT(refusal(kOne),
              HasSubstr("mlxd.db has version 2, this program knows versions up to 1 (0001_notes)"));
}

TEST_F(DatabaseTest, tells_of_damage_with_the_backup_and_what_to_do) {
  std::ofstream(file_) << std::string(8192, 'x');
  EXPECT_THAT(refusal(), HasSubstr("is damaged"));
  EXPECT_THAT(refusal(), HasSubstr("there is no backup beside it"));
  fs::remove(file_);

  {
    auto database = open(kOne).take_value();
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(add(*database, std::string(500, 'a')).ok());
  }
  { open(kTwo).take_value(); }
  {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    for (const int page : {2, 5, 9}) {
      file.seekp(4096 * page);
      file << std::string(4096, '\xA5');
    }
  }
  const auto database = open(kTwo);
  ASSERT_FALSE(database.ok());
  EXPECT_EQ(database.error().kind, ErrorKind::kCorruptData);
  EXPECT_THAT(database.error().message, HasSubstr(file_.string() + " is damaged"));
  EXPECT_THAT(database.error().message, HasSubstr("the newest backup is " + file_.string() + ".backup-v1"));
}

TEST_F(DatabaseTest, a_full_disk_is_an_error_that_changes_nothing) {
  auto database = open().take_value();
  ASSERT_TRUE(add(*database, "first").ok());
  // SQLite answers as if the disk were full.
  ASSERT_TRUE(database
                  ->write([](Sql& sql) -> Result<void> {
                    sql.execute("PRAGMA max_page_count = 10");
                    return {};
                  })
                  .ok());
  Result<void> last;
  std::int64_t added = 1;
  while ((last = add(*database, std::string(3000, 'b'))).ok() && added < 100) ++added;
  ASSERT_FALSE(last.ok());
  EXPECT_EQ(last.error().kind, ErrorKind::kIo);
  EXPECT_THAT(last.error().message, HasSubstr("there is no room"));
  EXPECT_EQ(count(*database), added);
  ASSERT_TRUE(database
                  ->write([](Sql& sql) -> Result<void> {
                    sql.execute("PRAGMA max_page_count = 1000");
                    return {};
                  })
                  .ok());
  EXPECT_TRUE(add(*database, "after").ok());
}

TEST_F(DatabaseTest, another_process_that_writes_is_waited_for_and_then_named) {
  auto one = open().take_value();
  auto other = open().take_value();
  const auto held = one->write([&](Sql&) -> Result<void> { return add(*other, "late"); });
  EXPECT_EQ(held.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(held.error().message, HasSubstr("in use by another process"));
}

TEST_F(DatabaseTest, a_kill_at_any_moment_loses_no_committed_row) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::int64_t expected = 0;
  for (int round = 0; round < 20; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto database = open();
      while (database.ok() && add(**database, std::string(200, 'c')).ok()) {
        const char done = '.';
        if (::write(ends[1], &done, 1) != 1) break;
      }
      ::_exit(1);
    }
    ::close(ends[1]);
    // Killed after some commits have been told of, somewhere within the next.
    const auto wanted = 1 + static_cast<int>(random() % 12);
    char byte = 0;
    for (int i = 0; i < wanted; ++i) {
      ASSERT_EQ(::read(ends[0], &byte, 1), 1);
      ++expected;
    }
    ::kill(child, SIGKILL);
    while (::read(ends[0], &byte, 1) == 1) ++expected;
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    auto database = open();
    ASSERT_TRUE(database.ok()) << database.error().message;
    const std::int64_t found = count(**database);
    // A commit that was not told of yet may be there.
    ASSERT_GE(found, expected);
    ASSERT_LE(found, expected + 1);
    expected = found;
  }
}

TEST(Migrations, make_all_tables_and_can_be_taken_one_by_one) {
  const auto all = all_migrations();
  ASSERT_FALSE(all.empty());
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1].number, all[i].number);
  std::string pattern = (fs::temp_directory_path() / "mlxd_steps_XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  for (std::size_t known = 1; known <= all.size(); ++known) {
    const auto database = Database::open({.file = folder / "mlxd.db", .migrations = all.first(known)});
    ASSERT_TRUE(database.ok()) << database.error().message;
  }
  EXPECT_TRUE(Database::open({}).ok());
  fs::remove_all(folder);
}

TEST(Stores, settings_change_all_or_none) {
  auto database = Database::open({}).take_value();
  SettingStore settings(*database);
  ASSERT_TRUE(settings.change({{"port", "1"}, {"host", "::1"}}, 5).ok());
  ASSERT_TRUE(settings.change({{"port", "2"}, {"host", std::nullopt}}, 6).ok());
  const auto all = settings.all().take_value();
  EXPECT_EQ(all, (SettingStore::Values{{"port", "2"}}));
  ASSERT_TRUE(settings.set_secret("hf-token", "sealed", 7).ok());
  EXPECT_FALSE(settings.reseal([](const auto&) -> Result<std::string> { return not_found("key"); }, 8).ok());
  EXPECT_EQ(settings.secret("hf-token").take_value(), "sealed");
  EXPECT_TRUE(settings.remove_secret("hf-token").take_value());
  EXPECT_FALSE(settings.remove_secret("hf-token").take_value());
}

TEST(Stores, the_last_administrator_cannot_go) {
  auto database = Database::open({}).take_value();
  UserStore users(*database);
  const User first{.id = "a", .email = "a@x.org", .name = "A", .password_hash = "h", .created_at = 1};
  EXPECT_EQ(users.create(first, false).error().kind, ErrorKind::kForbidden);
  const auto admin = users.create(first, true);
  ASSERT_TRUE(admin.ok()) << admin.error().message;
  EXPECT_EQ(admin->role, UserRole::kAdmin);
  EXPECT_EQ(admin->status, UserStatus::kActive);
  const User second{.id = "b", .email = "A@X.ORG", .name = "B", .password_hash = "h", .created_at = 2};
  EXPECT_EQ(users.create(second, true).error().kind, ErrorKind::kConflict);
  User other = second;
  other.email = "b@x.org";
  EXPECT_EQ(users.create(other, true)->status, UserStatus::kPending);
  for (const auto& change :
       {UserStore::Changes{.role = UserRole::kUser}, UserStore::Changes{.status = UserStatus::kDisabled}})
    EXPECT_EQ(users.change("a", change).error().kind, ErrorKind::kConflict);
  EXPECT_EQ(users.remove("a").error().kind, ErrorKind::kConflict);
  // One that is not active does not count.
  ASSERT_TRUE(users.change("b", {.role = UserRole::kAdmin}).ok());
  EXPECT_EQ(users.remove("a").error().kind, ErrorKind::kConflict);
  ASSERT_TRUE(users.change("b", {.status = UserStatus::kActive}).ok());
  EXPECT_TRUE(users.remove("a").ok());
  EXPECT_EQ(users.remove("a").error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace mlxd
