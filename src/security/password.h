// Passwords: what they must be, and Argon2id hashes of them (libsodium's "interactive" cost: 64 MiB, two
// passes, about a tenth of a second). Functions; thread-safe, but not for I/O threads.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// 8 to 256 bytes, as NIST SP 800-63B wants it: length, and no rules of composition. Errors:
/// kInvalidArgument.
Result<void> check_password(std::string_view password);

/// A string with salt and cost in it. Errors: kOutOfMemory.
Result<std::string> hash_password(std::string_view password);
bool is_password(std::string_view password, const std::string& hash);

/// Takes as long as is_password of a wrong one, so that an answer's time doesn't tell which accounts exist.
void pretend_to_check_password(std::string_view password);

}  // namespace mlxd
