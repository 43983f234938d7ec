"""Train the LoRA arm of rank 32."""

from stages._train import training_command

main = training_command("train_lora32", "train_lora32")

if __name__ == "__main__":
    main()
