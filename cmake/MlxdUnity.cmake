# Unity builds: several files of a target are compiled as one, which reads the headers that they share once. With the
# levels of MlxdCompiler.cmake a build from nothing took 29 minutes of processor time instead of 37. A file there may use what only another one includes; the debug build, which
# compiles each file by itself, finds that.
option(MLXD_UNITY "Compile several files of a target as one" OFF)
set(CMAKE_UNITY_BUILD ${MLXD_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)

# mlxd_unity_apart(REGEX file...): compiles those files that match by themselves all the same.
function(mlxd_unity_apart regex)
  set(apart ${ARGN})
  list(FILTER apart INCLUDE REGEX "${regex}")
  set_source_files_properties(${apart} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

if(MLXD_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # It takes a file that another one includes for a header.
  target_compile_options(mlxd_options INTERFACE -Wno-subobject-linkage)
endif()
