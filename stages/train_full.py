"""Train all weights."""

from stages._train import training_command

main = training_command("train_full", "train_full")

if __name__ == "__main__":
    main()
