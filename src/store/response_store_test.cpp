#include "store/response_store.h"

#include <gtest/gtest.h>

#include "store/key_store.h"
#include "store/user_store.h"

namespace mlxd {
namespace {

class ResponseStoreTest : public ::testing::Test {
 protected:
  ResponseStoreTest() {
    for (const char* id : {"admin", "u1"}) {
      const User user{.id = id, .email = std::string(id) + "@x.org", .name = {}, .password_hash = "h"};
      EXPECT_TRUE(UserStore(*database_).create(user, true).ok());
    }
    ApiKey key;
    key.id = "k1";
    key.user_id = "u1";
    key.name = "key";
    key.token_hash = "t";
    KeyStore(*database_).create(key).value();
  }

  void add(const std::string& id, const ResponseOwner& owner, std::int64_t time,
           std::optional<std::string> previous = {}) {
    const StoredResponse response{.id = id,
                                  .owner = owner,
                                  .previous_id = std::move(previous),
                                  .input_json = "[1]",
                                  .response_json = "{\"id\":\"" + id + "\"}",
                                  .created_at = time};
    store_.add({&response, 1}).value();
  }
  bool has(const std::string& id, const ResponseOwner& owner) { return store_.find(owner, id).ok(); }

  std::unique_ptr<Database> database_ = Database::open({.file = {}}).take_value();
  ResponseStore store_{*database_};
  const ResponseOwner local_{};
  const ResponseOwner user_{.user_id = "u1"};
  const ResponseOwner key_{.user_id = "u1", .key_id = "k1"};
};

TEST_F(ResponseStoreTest, removes_the_oldest_beyond_so_many_bytes) {
  for (int i = 0; i < 6; ++i) add("resp_" + std::to_string(i), i % 2 == 0 ? local_ : user_, 10 - i);
  const std::int64_t each = *store_.total_bytes() / 6;
  EXPECT_GT(each, 10);
  EXPECT_EQ(*store_.remove_beyond(6 * each), 0);
  EXPECT_EQ(*store_.remove_beyond(3 * each + 1), 3);
  EXPECT_EQ(*store_.total_bytes(), 3 * each);
  EXPECT_TRUE(has("resp_0", local_));
  EXPECT_TRUE(has("resp_2", local_));
  EXPECT_FALSE(has("resp_3", user_));
  EXPECT_EQ(*store_.remove_beyond(0), 3);
}

TEST_F(ResponseStoreTest, gives_back_what_was_added_to_its_owner_alone) {
  add("resp_1", key_, 5, "resp_0");
  const auto found = store_.find(key_, "resp_1");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->previous_id, "resp_0");
  EXPECT_EQ(found->input_json, "[1]");
  EXPECT_EQ(found->response_json, "{\"id\":\"resp_1\"}");
  EXPECT_EQ(found->created_at, 5);
  for (const ResponseOwner& other : {local_, user_, ResponseOwner{.user_id = "u2", .key_id = "k1"}}) {
    EXPECT_EQ(store_.find(other, "resp_1").error().kind, ErrorKind::kNotFound);
    EXPECT_EQ(store_.remove(other, "resp_1").error().kind, ErrorKind::kNotFound);
  }
  EXPECT_TRUE(store_.remove(key_, "resp_1").ok());
  EXPECT_FALSE(has("resp_1", key_));
}

TEST_F(ResponseStoreTest, an_owners_responses_go_with_it_and_come_back_never) {
  add("resp_u", user_, 1);
  add("resp_k", key_, 1);
  add("resp_l", local_, 1);
  EXPECT_TRUE(KeyStore(*database_).remove("k1").value());
  EXPECT_FALSE(has("resp_k", key_));
  EXPECT_TRUE(has("resp_u", user_));
  EXPECT_TRUE(UserStore(*database_).remove("u1").ok());
  EXPECT_FALSE(has("resp_u", user_));
  EXPECT_TRUE(has("resp_l", local_));
  add("resp_late", user_, 2);
  EXPECT_FALSE(has("resp_late", user_));
}

TEST_F(ResponseStoreTest, forgets_the_old_but_for_what_later_ones_build_on) {
  add("old", local_, 10);
  add("first", local_, 11);
  add("second", local_, 12, "first");
  add("third", local_, 50, "second");
  add("stray", local_, 50, "gone");
  EXPECT_EQ(store_.remove_before(50).value(), 1);
  EXPECT_FALSE(has("old", local_));
  for (const char* id : {"first", "second", "third", "stray"}) EXPECT_TRUE(has(id, local_)) << id;
  EXPECT_EQ(store_.remove_before(51).value(), 4);
}

}  // namespace
}  // namespace mlxd
