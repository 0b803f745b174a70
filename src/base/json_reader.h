// A reader of JSON text that keeps nothing: whoever looks for one thing overrides that.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

namespace lull {

template <typename Json>
class JsonReader : public nlohmann::json_sax<Json> {
  using Base = nlohmann::json_sax<Json>;

 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(typename Base::number_integer_t) override { return true; }
  bool number_unsigned(typename Base::number_unsigned_t) override { return true; }
  bool number_float(typename Base::number_float_t, const typename Base::string_t&) override {
    return true;
  }
  bool string(typename Base::string_t&) override { return true; }
  bool binary(typename Base::binary_t&) override { return false; }  // no JSON text has any
  bool start_object(std::size_t) override { return true; }
  bool key(typename Base::string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  // Ends the reading; error_offset() is of the byte that cannot be.
  bool parse_error(std::size_t bytes_read, const std::string&,
                   const nlohmann::detail::exception&) override {
    error_offset_ = bytes_read > 0 ? bytes_read - 1 : 0;
    failed_ = true;
    return false;
  }

  bool failed() const { return failed_; }
  std::size_t error_offset() const { return error_offset_; }

 private:
  bool failed_ = false;
  std::size_t error_offset_ = 0;
};

}  // namespace lull
