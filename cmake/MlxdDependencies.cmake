# Every third-party library that C++ code links, found once. Versions are pinned by script/bootstrap.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_package(SQLite3 REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(tomlplusplus REQUIRED)
# libsodium has no CMake files: src/security looks for it.
find_package(CURL 7.85 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
