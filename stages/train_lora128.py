"""Train the LoRA arm of rank 128."""

from stages._train import training_command

main = training_command("train_lora128", "train_lora128")

if __name__ == "__main__":
    main()
