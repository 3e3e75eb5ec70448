# What `cmake --install` gives: bin/pst (tools/), include/paste, one static library libpaste.a that
# holds the public library's modules, a CMake package (paste::paste) and paste.pc.
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
include(CMakePackageConfigHelpers)

# One archive, because a consumer should not have to know the modules or their order.
set(paste_bundle_objects "")
foreach(module IN ITEMS paste log port tcp wire pool pmem base)
  if(TARGET paste_${module})
    list(APPEND paste_bundle_objects $<TARGET_OBJECTS:paste_${module}>)
  else()
    message(STATUS "libpaste.a is installed without ${module}")
  endif()
endforeach()
add_library(paste_bundle STATIC ${paste_bundle_objects})
set_target_properties(paste_bundle PROPERTIES OUTPUT_NAME paste EXPORT_NAME paste
  LINKER_LANGUAGE CXX)
target_compile_features(paste_bundle PUBLIC cxx_std_20)
target_include_directories(paste_bundle INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# Public headers show tl::expected; the rest is needed at the link only.
target_link_libraries(paste_bundle PUBLIC tl::expected
  PRIVATE fmt::fmt PkgConfig::liburing PkgConfig::libbpf PkgConfig::libmnl PkgConfig::isal
          absl::flat_hash_map absl::flat_hash_set)

set(paste_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/paste)
install(TARGETS paste_bundle EXPORT paste-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/paste DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(EXPORT paste-targets NAMESPACE paste:: DESTINATION ${paste_package_dir})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/paste-config.cmake.in
  ${PROJECT_BINARY_DIR}/paste-config.cmake INSTALL_DESTINATION ${paste_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/paste-config-version.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/paste-config.cmake
  ${PROJECT_BINARY_DIR}/paste-config-version.cmake DESTINATION ${paste_package_dir})

# Paths in paste.pc are relative to itself, so that an installed tree may be moved.
file(RELATIVE_PATH paste_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/paste.pc.in ${PROJECT_BINARY_DIR}/paste.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/paste.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
