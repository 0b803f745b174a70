# cmake -DOUTPUT=x.cc -DNAMESPACE=lull "-DFILES=kName=path;..." -P embed_files.cmake
# Writes the files as constants: std::string_view kName.
set(text "#include <string_view>\n\nnamespace ${NAMESPACE} {\n\n")
foreach(pair IN LISTS FILES)
  string(REPLACE "=" ";" pair "${pair}")
  list(GET pair 0 name)
  list(GET pair 1 path)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND text "constexpr char ${name}Bytes[] = {\n${bytes}};\n"
                     "extern const std::string_view ${name};\n"
                     "constexpr std::string_view ${name}(${name}Bytes, sizeof ${name}Bytes);\n\n")
endforeach()
file(WRITE ${OUTPUT} "${text}}  // namespace ${NAMESPACE}\n")
