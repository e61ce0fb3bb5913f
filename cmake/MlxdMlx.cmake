# MLX's C++ library from its Python wheel, which `script/bootstrap --test` puts into .venv: the imported target
# mlxd_mlx, or nothing where the wheel is not there. Only the library of src/backends/mlx and its tests link it; the
# program itself does not.
#
#   MLXD_MLX       AUTO (where it is found), ON (an error where it is not), OFF
#   MLXD_MLX_ROOT  the wheel's folder `mlx`, with include/ and lib/; searched in .venv if empty
set(MLXD_MLX AUTO CACHE STRING "Build the MLX backend: AUTO, ON or OFF")
set(MLXD_MLX_ROOT "" CACHE PATH "Folder of MLX's include/ and lib/")

# Its headers promise no binary compatibility: one version at a time. As in script/bootstrap.
set(MLXD_MLX_VERSION 0.32.4)

function(mlxd_find_mlx)
  if(NOT MLXD_MLX)
    return()
  endif()
  if(MLXD_SANITIZE)
    # The wheel's library is not instrumented: its threads and allocations would be reported without meaning much.
    message(STATUS "MLX backend: not built with sanitizers")
    return()
  endif()
  set(roots "${MLXD_MLX_ROOT}")
  if(NOT roots)
    file(GLOB roots "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/mlx")
  endif()
  set(problem "no MLX in .venv (script/bootstrap --test installs it)")
  foreach(root IN LISTS roots)
    set(library "${root}/lib/libmlx${CMAKE_SHARED_LIBRARY_SUFFIX}")
    if(NOT EXISTS "${root}/include/mlx/version.h" OR NOT EXISTS "${library}")
      continue()
    endif()
    file(STRINGS "${root}/include/mlx/version.h" lines REGEX "#define MLX_VERSION_(MAJOR|MINOR|PATCH) ")
    string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
    list(JOIN numbers "." version)
    if(NOT version VERSION_EQUAL MLXD_MLX_VERSION)
      set(problem "${root} has version ${version}, needed is ${MLXD_MLX_VERSION}")
      continue()
    endif()
    add_library(mlxd_mlx SHARED IMPORTED GLOBAL)
    set_target_properties(mlxd_mlx PROPERTIES
      IMPORTED_LOCATION "${library}"
      INTERFACE_COMPILE_DEFINITIONS "MLXD_MLX_VERSION=\"${version}\"")
    target_include_directories(mlxd_mlx SYSTEM INTERFACE "${root}/include")
    message(STATUS "MLX backend: version ${version} from ${root}")
    return()
  endforeach()
  if(MLXD_MLX STREQUAL "AUTO")
    message(STATUS "MLX backend: not built, ${problem}")
  else()
    message(FATAL_ERROR "MLX backend: ${problem}")
  endif()
endfunction()

mlxd_find_mlx()
