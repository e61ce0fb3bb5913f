// libsodium wants to be started before its first use. Private to security/. Thread-safe.
#pragma once

namespace mlxd {

void ensure_sodium();

}  // namespace mlxd
