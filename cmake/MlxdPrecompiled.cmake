# Headers that nearly every file reads, compiled once for libraries (position-independent code) and once for test
# programs. The sanitizers' builds use them: a third less time. The others don't, so that files go on naming what they
# use, and because GCC 12 no longer knows what is a system's header and takes its own std::string for a mistake.
option(MLXD_PCH "Precompile the standard library's, Boost.JSON's and GoogleTest's headers" OFF)

# mlxd_precompiled(TARGET PCH): compiles TARGET with the precompiled headers of PCH, mlxd_pch or mlxd_test_pch.
function(mlxd_precompiled target pch)
  if(NOT TARGET ${pch})
    return()
  endif()
  target_precompile_headers(${target} REUSE_FROM ${pch})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-stringop-overflow -Wno-array-bounds)
  endif()
endfunction()

if(NOT MLXD_PCH OR MLXD_CPU_BACKEND_ONLY)
  return()
endif()

set(mlxd_pch_headers
  <algorithm> <array> <atomic> <charconv> <chrono> <cmath> <cstdint> <cstring> <filesystem> <fstream> <functional>
  <limits> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map>
  <utility> <variant> <vector> <boost/json.hpp>)

file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/pch_library.cpp" CONTENT "")
add_library(mlxd_pch OBJECT "${CMAKE_BINARY_DIR}/generated/pch_library.cpp")
target_link_libraries(mlxd_pch PRIVATE mlxd_options Threads::Threads Boost::json)
target_precompile_headers(mlxd_pch PRIVATE ${mlxd_pch_headers})

file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/pch_program.cpp" CONTENT "int main() { return 0; }\n")
add_executable(mlxd_test_pch EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/generated/pch_program.cpp")
target_link_libraries(mlxd_test_pch PRIVATE mlxd_options Threads::Threads Boost::json GTest::gtest GTest::gmock)
target_precompile_headers(mlxd_test_pch PRIVATE ${mlxd_pch_headers} <gmock/gmock.h> <gtest/gtest.h>)
