#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "security/login_throttle.h"
#include "security/password.h"
#include "security/private_file.h"
#include "security/secret_box.h"
#include "security/token.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(Token, is_long_random_and_known_by_its_hash) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = random_token(32);
    EXPECT_EQ(token.size(), 43U);
    EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
              std::string::npos);
    EXPECT_TRUE(seen.insert(token).second);
  }
  // RFC 7693's BLAKE2b with 32 bytes of output, of "abc".
  EXPECT_EQ(token_hash("abc"), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  EXPECT_NE(derived_token("abc", "csrf"), token_hash("abc"));
  EXPECT_NE(derived_token("abc", "csrf"), derived_token("abd", "csrf"));
  EXPECT_TRUE(same_secret("one", "one"));
  EXPECT_FALSE(same_secret("one", "two"));
  EXPECT_FALSE(same_secret("one", "on"));
}

TEST(Password, hashes_with_argon2id_and_a_salt) {
  const std::string hash = hash_password("correct horse").take_value();
  EXPECT_THAT(hash, ::testing::StartsWith("$argon2id$"));
  EXPECT_NE(hash, hash_password("correct horse").take_value());
  EXPECT_TRUE(is_password("correct horse", hash));
  EXPECT_FALSE(is_password("correct horsf", hash));
  EXPECT_FALSE(is_password("x", ""));
  EXPECT_FALSE(check_password("short").ok());
  EXPECT_FALSE(check_password(std::string(257, 'x')).ok());
  EXPECT_TRUE(check_password("eight ch").ok());
}

class SecretBoxTest : public ::testing::Test {
 protected:
  SecretBoxTest() {
    std::string pattern = (fs::temp_directory_path() / "mlxd_box_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    file_ = folder_ / "secret.key";
  }
  ~SecretBoxTest() override { fs::remove_all(folder_); }
  std::string text() const {
    std::ostringstream text;
    text << std::ifstream(file_).rdbuf();
    return text.str();
  }
  fs::path folder_, file_;
};

TEST_F(SecretBoxTest, opens_what_it_sealed_after_a_restart_and_nothing_else) {
  std::string sealed;
  {
    auto box = SecretBox::open(file_).take_value();
    sealed = box->seal("hf_token");
    EXPECT_NE(sealed, box->seal("hf_token"));
    EXPECT_EQ(sealed.find("hf_token"), std::string::npos);
  }
  struct stat facts {};
  ASSERT_EQ(::stat(file_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  auto box = SecretBox::open(file_).take_value();
  EXPECT_EQ(box->unseal(sealed).take_value(), "hf_token");
  std::string changed = sealed;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  for (const std::string& wrong :
       {changed, std::string("x"), std::string("a.b"), SecretBox::in_memory()->seal("y")})
    EXPECT_EQ(box->unseal(wrong).error().kind, ErrorKind::kCorruptData) << wrong;
}

TEST_F(SecretBoxTest, changes_its_key_without_losing_a_secret) {
  auto box = SecretBox::open(file_).take_value();
  const std::string old = box->seal("kept");
  ASSERT_TRUE(box->add_key().ok());
  // A kill here leaves both keys.
  auto reopened = SecretBox::open(file_).take_value();
  EXPECT_EQ(reopened->unseal(old).take_value(), "kept");
  const std::string fresh = reopened->seal(reopened->unseal(old).take_value());
  ASSERT_TRUE(reopened->forget_old_keys().ok());
  EXPECT_EQ(reopened->unseal(fresh).take_value(), "kept");
  EXPECT_FALSE(reopened->unseal(old).ok());
  const std::string file_text = text();
  EXPECT_EQ(std::count(file_text.begin(), file_text.end(), '\n'), 1);
}

TEST_F(SecretBoxTest, refuses_a_key_that_others_can_read_or_that_is_damaged) {
  SecretBox::open(file_).take_value();
  fs::permissions(file_, fs::perms::group_read, fs::perm_options::add);
  EXPECT_THAT(SecretBox::open(file_).error().message, HasSubstr("chmod 600"));
  fs::permissions(file_, fs::perms::owner_read | fs::perms::owner_write);
  std::ofstream(file_) << "nonsense\n";
  EXPECT_EQ(SecretBox::open(file_).error().kind, ErrorKind::kCorruptData);
  std::ofstream(file_) << "";
  EXPECT_EQ(SecretBox::open(file_).error().kind, ErrorKind::kCorruptData);
}

TEST_F(SecretBoxTest, private_files_take_away_what_killed_processes_left_half_written) {
  const std::string mine = std::to_string(::getpid());
  const fs::path dead = folder_ / "server.json.2147483646.part";  // no system has so many processes
  const fs::path alive = folder_ / ("secret.key." + std::to_string(::getppid()) + ".part");
  const fs::path other = folder_ / "notes.part";
  for (const fs::path& each : {dead, alive, other}) std::ofstream(each) << "x";
  ASSERT_TRUE(write_private_file(folder_ / "setup.token", "text").ok());
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(alive));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_FALSE(fs::exists(folder_ / ("setup.token." + mine + ".part")));
}

TEST(LoginThrottle, lets_failures_wait_longer_and_longer) {
  FakeClock clock;
  LoginThrottle throttle(clock);
  for (int i = 0; i < LoginThrottle::kFreeAccountFailures; ++i) {
    EXPECT_EQ(throttle.wait("a", "1.1.1.1"), seconds(0));
    throttle.failed("a", "1.1.1.1");
  }
  EXPECT_EQ(throttle.wait("a", "1.1.1.1"), seconds(0));
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    throttle.failed("a", "1.1.1.1");
    EXPECT_EQ(throttle.wait("a", "2.2.2.2"), seconds(wait));
    clock.advance(seconds(wait));
    EXPECT_EQ(throttle.wait("a", "2.2.2.2"), seconds(0));
  }
  EXPECT_EQ(throttle.wait("b", "2.2.2.2"), seconds(0));
  throttle.succeeded("a");
  throttle.failed("a", "2.2.2.2");
  EXPECT_EQ(throttle.wait("a", "2.2.2.2"), seconds(0));
}

TEST(LoginThrottle, slows_an_address_that_tries_many_accounts) {
  FakeClock clock;
  LoginThrottle throttle(clock);
  for (int i = 0; i < 40; ++i) throttle.failed("account " + std::to_string(i), "6.6.6.6");
  EXPECT_EQ(throttle.wait("another", "6.6.6.6"), LoginThrottle::kLongestAddressWait);
  throttle.succeeded("another");
  EXPECT_EQ(throttle.wait("another", "6.6.6.6"), LoginThrottle::kLongestAddressWait);
  EXPECT_EQ(throttle.wait("another", "7.7.7.7"), seconds(0));
  clock.advance(std::chrono::hours(2));
  throttle.failed("x", "6.6.6.6");
  EXPECT_EQ(throttle.wait("another", "6.6.6.6"), seconds(0));
}

TEST(LoginThrottle, remembers_a_bounded_number) {
  FakeClock clock;
  LoginThrottle throttle(clock, 10);
  for (int i = 0; i < 7; ++i) throttle.failed("first", "1.1.1.1");
  EXPECT_GT(throttle.wait("first", "x"), seconds(0));
  for (int i = 0; i < 20; ++i) throttle.failed(std::to_string(i), std::to_string(i));
  EXPECT_EQ(throttle.wait("first", "x"), seconds(0));
}

}  // namespace
}  // namespace mlxd
