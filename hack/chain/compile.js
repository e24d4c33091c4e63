// Compiles Token.sol to Token.json. Usage, in this folder: npm install --no-save solc@0.8.30 && node compile.js
const fs = require("fs");
const solc = require("solc");

const input = {
  language: "Solidity",
  sources: { "Token.sol": { content: fs.readFileSync("Token.sol", "utf8") } },
  settings: {
    evmVersion: "cancun",
    metadata: { bytecodeHash: "none" },
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { Token: ["abi", "evm.bytecode.object", "evm.methodIdentifiers"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const problem of output.errors ?? []) console.error(problem.formattedMessage);
const token = output.contracts["Token.sol"].Token;
const artifact = {
  compiler: solc.version(),
  methods: token.evm.methodIdentifiers,
  bytecode: "0x" + token.evm.bytecode.object,
};
fs.writeFileSync("Token.json", JSON.stringify(artifact, null, 2) + "\n");
