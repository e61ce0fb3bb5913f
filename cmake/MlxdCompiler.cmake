# Language level, warnings, sanitizers and compiler cache, in one place.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Modules that loop over numbers ask for more (NUMERIC of mlxd_module), tests for less, which saves time of the build.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # PCH needs the looser time checks; the base directory shares hits between checkouts. Headers' own times stay checked:
  # one that is edited while a file is being compiled would else be cached as the one that was.
  set(mlxd_launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_SLOPPINESS=pch_defines,time_macros
      ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${mlxd_launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${mlxd_launcher})
endif()

add_library(mlxd_options INTERFACE)
target_include_directories(mlxd_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(mlxd_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -fno-omit-frame-pointer
  # Floating-point results are part of the contract: no contraction the source does not spell out.
  -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  # At -O2 and above these two report standard containers that are in order (GCC bugs 105562, 105651).
  target_compile_options(mlxd_options INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
endif()
if(MLXD_WERROR)
  target_compile_options(mlxd_options INTERFACE -Werror)
endif()
if(MLXD_SANITIZE)
  target_compile_options(mlxd_options INTERFACE -fsanitize=${MLXD_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(mlxd_options INTERFACE -fsanitize=${MLXD_SANITIZE})
  target_compile_definitions(mlxd_options INTERFACE MLXD_SANITIZED=1)
endif()
if(NOT APPLE)
  find_program(MOLD_PROGRAM mold)
  if(MOLD_PROGRAM AND NOT CMAKE_CROSSCOMPILING)
    target_link_options(mlxd_options INTERFACE -fuse-ld=mold)
  endif()
  target_link_options(mlxd_options INTERFACE -Wl,--gc-sections)
endif()
