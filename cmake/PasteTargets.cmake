# paste_library(NAME SOURCES … DEPENDS …): a static module library with the alias paste::NAME.
# paste_test(NAME SOURCES … DEPENDS …):    a GoogleTest program, registered with CTest as NAME.
# paste_bench(NAME SOURCES … DEPENDS …):   a Google Benchmark program; CTest runs it briefly.
# paste_fuzz(NAME SOURCES … DEPENDS … SEEDS dir): a libFuzzer program.

add_library(paste_options INTERFACE)
target_compile_features(paste_options INTERFACE cxx_std_20)
target_compile_options(paste_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wimplicit-fallthrough -fno-omit-frame-pointer
  $<$<BOOL:${PASTE_WERROR}>:-Werror>)
if(PASTE_SANITIZE)
  target_compile_options(paste_options INTERFACE
    -fsanitize=${PASTE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(paste_options INTERFACE -fsanitize=${PASTE_SANITIZE})
endif()
# A request crosses many small files; what ships is optimised across them. The objects are usable
# without it, too, so that an installed library does not depend on the compiler's version.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND
   NOT PASTE_SANITIZE)
  target_compile_options(paste_options INTERFACE -flto=auto -ffat-lto-objects)
  target_link_options(paste_options INTERFACE -flto=auto)
endif()
if(PASTE_FUZZ)
  target_compile_options(paste_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(PASTE_CCACHE ccache)
if(PASTE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PASTE_CCACHE})
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

function(paste_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(paste_${name} STATIC ${arg_SOURCES})
  add_library(paste::${name} ALIAS paste_${name})
  set_target_properties(paste_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(paste_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_include_directories(paste_${name} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  target_link_libraries(paste_${name} PUBLIC ${arg_DEPENDS}
    PRIVATE $<BUILD_INTERFACE:paste_options> ${arg_PRIVATE_DEPENDS})
  target_compile_features(paste_${name} PUBLIC cxx_std_20)
endfunction()

function(paste_test name)
  if(NOT PASTE_DEVELOPER)
    return()
  endif()
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE paste_options ${arg_DEPENDS} rapidcheck GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${arg_TIMEOUT}
    LABELS "unit;${arg_LABELS}")
endfunction()

function(paste_bench name)
  if(NOT PASTE_DEVELOPER)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE paste_options ${arg_DEPENDS} benchmark::benchmark_main)
  add_test(NAME ${name} COMMAND ${name} --benchmark_min_time=0.001)
  set_tests_properties(${name} PROPERTIES LABELS "bench")
endfunction()

function(paste_fuzz name)
  cmake_parse_arguments(arg "" "SEEDS" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE paste_options ${arg_DEPENDS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
