"""What tests of the server and of programs that use it need: a real server in process, a clock to set."""
