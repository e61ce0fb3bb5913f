# mlxd_web: the files of the web interface (web/) as src/server embeds them, in build/PRESET/web. The build of web/ needs Node and npm; tools/build.mjs does nothing where the sources
# are those of an earlier build. With MLXD_WEB=OFF the table is empty, and the server says at / what is missing.

# By the assembler, also those of /docs (src/server/docs_page), which every build has.
enable_language(ASM)

option(MLXD_WEB "Build the web interface (needs Node 20.19 or newer) and embed it" ON)

set(mlxd_web_dir "${CMAKE_BINARY_DIR}/web")
file(MAKE_DIRECTORY "${mlxd_web_dir}")

if(MLXD_WEB)
  find_program(MLXD_NODE node HINTS "${CMAKE_SOURCE_DIR}/.venv/bin")
  find_program(MLXD_NPM npm HINTS "${CMAKE_SOURCE_DIR}/.venv/bin")
  set(mlxd_node_version "")
  if(MLXD_NODE)
    execute_process(COMMAND "${MLXD_NODE}" --version OUTPUT_VARIABLE mlxd_node_version
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    string(REGEX REPLACE "^v" "" mlxd_node_version "${mlxd_node_version}")
  endif()
  if(NOT MLXD_NPM OR mlxd_node_version VERSION_LESS 20.19)
    message(FATAL_ERROR "The web interface is built with Node 20.19 or newer and npm, found node '${mlxd_node_version}', "
      "npm '${MLXD_NPM}': run script/bootstrap, or configure with -DMLXD_WEB=OFF for a server without it.")
  endif()

  file(GLOB_RECURSE mlxd_web_sources CONFIGURE_DEPENDS
    "${CMAKE_SOURCE_DIR}/web/src/*" "${CMAKE_SOURCE_DIR}/web/static/*" "${CMAKE_SOURCE_DIR}/web/tools/*")
  get_filename_component(mlxd_node_dir "${MLXD_NODE}" DIRECTORY)
  add_custom_command(
    OUTPUT "${mlxd_web_dir}/web_files.bin" "${mlxd_web_dir}/web_files.inc" "${mlxd_web_dir}/web_pages.inc"
    COMMAND ${CMAKE_COMMAND} -E env "PATH=${mlxd_node_dir}:$ENV{PATH}"
            "${MLXD_NODE}" "${CMAKE_SOURCE_DIR}/web/tools/build.mjs" "${mlxd_web_dir}" "${CMAKE_SOURCE_DIR}/build/web-cache"
    DEPENDS ${mlxd_web_sources} "${CMAKE_SOURCE_DIR}/web/package.json" "${CMAKE_SOURCE_DIR}/web/package-lock.json"
            "${CMAKE_SOURCE_DIR}/web/svelte.config.js" "${CMAKE_SOURCE_DIR}/web/vite.config.ts"
            "${CMAKE_SOURCE_DIR}/web/tsconfig.json"
    WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}/web"
    COMMENT "Building the web interface"
    VERBATIM)
  add_custom_target(mlxd_web DEPENDS "${mlxd_web_dir}/web_files.bin" "${mlxd_web_dir}/web_files.inc"
    "${mlxd_web_dir}/web_pages.inc")
endif()
