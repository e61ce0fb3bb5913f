# What the CPU backend and its tests link, for a machine whose libraries are not installed here: made from the headers
# and sources of this system's packages.
find_package(Threads REQUIRED)

# Nothing else of the system's headers may be seen: they are another architecture's.
set(headers "${CMAKE_BINARY_DIR}/headers")
file(MAKE_DIRECTORY "${headers}")
foreach(library boost fmt spdlog)
  file(CREATE_LINK "/usr/include/${library}" "${headers}/${library}" SYMBOLIC)
endforeach()

file(WRITE "${CMAKE_BINARY_DIR}/boost_json.cpp" "#include <boost/json/src.hpp>\n")
add_library(mlxd_cross_json STATIC "${CMAKE_BINARY_DIR}/boost_json.cpp")
target_include_directories(mlxd_cross_json SYSTEM PUBLIC "${headers}")
add_library(Boost::json ALIAS mlxd_cross_json)

add_library(mlxd_cross_spdlog INTERFACE)
target_include_directories(mlxd_cross_spdlog SYSTEM INTERFACE "${headers}")
target_compile_definitions(mlxd_cross_spdlog INTERFACE FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL)
add_library(spdlog::spdlog ALIAS mlxd_cross_spdlog)

set(INSTALL_GTEST OFF)
add_subdirectory(/usr/src/googletest "${CMAKE_BINARY_DIR}/googletest" EXCLUDE_FROM_ALL SYSTEM)
