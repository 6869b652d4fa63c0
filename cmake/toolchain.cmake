# Compiler launcher, linker, warnings and sanitizers.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # Precompiled headers need these two to be cacheable.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(pointwork_warnings INTERFACE)
target_compile_options(pointwork_warnings INTERFACE
  -Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers -fno-math-errno -fpch-preprocess)
# No CPU model is assumed beyond AVX2 and FMA, which every x86-64 server since 2013 has.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(pointwork_warnings INTERFACE -mavx2 -mfma -mf16c)
endif()
if(POINTWORK_SANITIZE)
  add_compile_options(-fsanitize=${POINTWORK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${POINTWORK_SANITIZE})
endif()
