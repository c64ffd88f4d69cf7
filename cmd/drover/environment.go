package main

import (
	"io"
	"os"
)

// environment is what a command may touch of the process around it, so that tests can give another.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

func systemEnv() *environment {
	return &environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
}
